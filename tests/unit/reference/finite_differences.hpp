// Gradients against central differences.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

/// Central difference of `loss` in one number.
template <class Function>
[[nodiscard]] double slope(double& value, const Function& loss) {
  const double h = 1e-6, kept = value;
  value = kept + h;
  const double up = loss();
  value = kept - h;
  const double down = loss();
  value = kept;
  return (up - down) / (2 * h);
}

/// Compares every `stride`-th entry.
template <class Function>
void agree(std::vector<double>& values, const std::vector<double>& gradient, std::size_t stride,
           const Function& loss) {
  REQUIRE(values.size() == gradient.size());
  for (std::size_t i = 0; i < values.size(); i += stride) {
    const double expected = slope(values[i], loss);
    CHECK(std::abs(gradient[i] - expected) < 2e-7 * std::max(1.0, std::abs(expected)));
  }
}
