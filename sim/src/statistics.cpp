#include "jevons/sim/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace jevons::sim {

double quantile(std::vector<double>& values, double p) {
  const auto n = static_cast<double>(values.size());
  // p n is a product of rounded numbers: 0.9 × 10 must be the ninth, not the tenth.
  const double rank = std::clamp(std::ceil(p * n - 1e-9), 1.0, n);
  const auto at = static_cast<std::ptrdiff_t>(rank) - 1;
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<std::size_t>(at)];
}

double quantile(std::vector<Weighted>& values, double p) {
  std::sort(values.begin(), values.end(),
            [](const Weighted& a, const Weighted& b) { return a.value < b.value; });
  double total = 0, passed = 0;
  for (const Weighted& w : values) total += w.count;
  for (const Weighted& w : values) {
    passed += w.count;
    if (passed >= p * total * (1 - 1e-12)) return w.value;
  }
  return values.back().value;
}

}  // namespace jevons::sim
