// Groups of measured rows that cross-validation leaves out, one after the other. Private to sim.
#pragma once

#include "jevons/sim/fit.hpp"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace jevons::sim {

/// What a row is grouped by, and what the group is called.
struct GroupName {
  std::string key, name;
};
/// In the order of their keys; the accelerator is that of a group's last row.
[[nodiscard]] std::vector<CrossGroup> groups_by(
    std::span<const FitSample> samples, const std::function<GroupName(const FitSample&)>& name_of);
/// The groups of the truth file, by stack and accelerator.
[[nodiscard]] std::vector<CrossGroup> groups_by_stack(std::span<const FitSample> samples);

/// Calls `predict` for every group, on `threads` threads (0: all cores).
void predict_each(std::span<CrossGroup> groups, unsigned threads,
                  const std::function<void(CrossGroup&)>& predict);

}  // namespace jevons::sim
