// Exact order statistics.
#pragma once

#include <span>
#include <vector>

namespace jevons::sim {

/// The p-quantile by nearest rank: the smallest value that at least p of them do not exceed.
/// Reorders `values`, which must not be empty.
[[nodiscard]] double quantile(std::vector<double>& values, double p);

/// A value that occurred `count` times, or `points` values that many times in all, evenly spaced
/// over `spread` around it.
struct Weighted {
  double value = 0, count = 0, spread = 0, points = 1;
};
/// The same over weighted values, which must not be empty; to a relative 1e-12.
[[nodiscard]] double quantile(std::span<const Weighted> values, double p);

}  // namespace jevons::sim
