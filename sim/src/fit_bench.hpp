// Samples grouped by chip, stack and size, so that one set of constants is looked up once a group.
#pragma once

#include "jevons/sim/fit.hpp"
#include "jevons/sim/operator_cost.hpp"

#include <cstddef>
#include <vector>

namespace jevons::sim {

class FitBench {
 public:
  /// Throws Error(bad_input) on a metric that cannot be fitted.
  explicit FitBench(std::span<const FitSample> samples);

  /// Whether a constant of this scope bears on the group's chip.
  struct Group {
    Task task = Task::op;
    hwmodels::Cluster cluster;  ///< training: the first sample's
    hwmodels::Stack stack;
    std::vector<std::size_t> samples;
  };
  [[nodiscard]] const std::vector<Group>& groups() const { return groups_; }
  [[nodiscard]] static bool in_scope(const Group& group, const std::string& name,
                                     const std::string& scope);

  /// log(predicted / measured) of the samples of one group with constants replaced; `out` has one
  /// entry a sample of the whole bench.
  void residuals(const Group& group, std::span<const FittedConstant> constants,
                 std::span<double> out) const;

 private:
  void step_residuals(const Group& group, std::span<const FittedConstant> constants,
                      std::span<double> out) const;
  std::span<const FitSample> samples_;
  std::vector<double> scales_;  ///< RunOptions::activity_scale of each
  std::vector<Group> groups_;
};

[[nodiscard]] std::string kernel_family(const workloads::Shape& shape);

}  // namespace jevons::sim
