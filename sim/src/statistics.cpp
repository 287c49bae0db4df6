#include "jevons/sim/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace jevons::sim {

double quantile(std::vector<double>& values, double p) {
  const auto n = static_cast<double>(values.size());
  // p n is a product of rounded numbers: 0.9 × 10 must be the ninth, not the tenth.
  const double rank = std::clamp(std::ceil(p * n - 1e-9), 1.0, n);
  const auto at = static_cast<std::ptrdiff_t>(rank) - 1;
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return values[static_cast<std::size_t>(at)];
}

namespace {

double quantile_of_points(std::vector<Weighted> values, double wanted) {
  std::sort(values.begin(), values.end(),
            [](const Weighted& a, const Weighted& b) { return a.value < b.value; });
  double passed = 0;
  for (const Weighted& w : values) {
    passed += w.count;
    if (passed >= wanted) return w.value;
  }
  return values.back().value;
}

constexpr double kRound = 1e-9;  // of the place in a row of points

/// Of the values, those that do not exceed `x`.
double up_to(std::span<const Weighted> values, double x) {
  double passed = 0;
  for (const Weighted& w : values) {
    const double above = x - (w.value - w.spread / 2);
    if (above < 0) continue;
    const double gap = w.points > 1 ? w.spread / (w.points - 1) : 0;
    const double reached =
        gap > 0 ? std::min(w.points, std::floor(above / gap + kRound) + 1) : w.points;
    passed += w.count * reached / w.points;
  }
  return passed;
}

}  // namespace

double quantile(std::span<const Weighted> values, double p) {
  constexpr double kClose = 1e-12;
  double low = std::numeric_limits<double>::infinity(), high = -low, total = 0;
  bool points = true;
  for (const Weighted& w : values) {
    low = std::min(low, w.value - w.spread / 2);
    high = std::max(high, w.value + w.spread / 2);
    total += w.count;
    points = points && w.spread == 0;
  }
  const double wanted = p * total * (1 - kClose);
  if (points) return quantile_of_points({values.begin(), values.end()}, wanted);
  while (high - low > kClose * std::abs(high)) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) break;
    (up_to(values, middle) >= wanted ? high : low) = middle;
  }
  return high;
}

}  // namespace jevons::sim
