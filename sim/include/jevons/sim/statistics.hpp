// Exact order statistics.
#pragma once

#include <vector>

namespace jevons::sim {

/// The p-quantile by nearest rank: the smallest value that at least p of them do not exceed.
/// Reorders `values`, which must not be empty.
[[nodiscard]] double quantile(std::vector<double>& values, double p);

/// A value that occurred `count` times.
struct Weighted {
  double value = 0, count = 0;
};
/// The same over weighted values; sorts them.
[[nodiscard]] double quantile(std::vector<Weighted>& values, double p);

}  // namespace jevons::sim
