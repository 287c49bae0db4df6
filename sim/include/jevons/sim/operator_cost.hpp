// Time of one operator on one chip: the cost functions that op, train and serve share.
#pragma once

#include "jevons/core/units.hpp"
#include "jevons/hwmodels/cluster.hpp"
#include "jevons/hwmodels/stack.hpp"
#include "jevons/workloads/operators.hpp"

#include <memory>
#include <string>
#include <string_view>

namespace jevons::sim {

enum class Bound { compute, memory, latency, network };
[[nodiscard]] std::string_view to_string(Bound bound);

struct OperatorCost {
  Seconds time;
  Seconds compute;  ///< the compute term alone
  Seconds memory;   ///< the memory or wire term alone
  Seconds floor;    ///< launch and fixed latency
  Flops flops;
  Bytes bytes;
  Bound bound = Bound::compute;
  FlopRate peak{0.0};  ///< dense peak of the arithmetic format; zero for collectives
};

/// How the kernel is run.
struct RunConditions {
  /// Inside a model: weights come from DRAM instead of the L2 a benchmark loop leaves them in,
  /// quantisation of the input is fused or counted apart, and the engine's own all-reduce may be
  /// used. False: a kernel in a loop, as kernel tables measure it.
  bool cold_weights = false;
  /// Compute units that communication kernels hold meanwhile.
  double held_units = 0;
};

struct KernelConstants;

/// The cost functions of one (cluster, stack) pair with every constant looked up once. Build it
/// once and call cost() often: a GEMM takes about a microsecond, everything else less.
class OperatorModel {
 public:
  /// Throws Error(bad_input) that names a figure the SKU lacks and every operator needs.
  OperatorModel(const hwmodels::Cluster& cluster, const hwmodels::Stack& stack);
  ~OperatorModel();
  OperatorModel(OperatorModel&&) noexcept;
  OperatorModel& operator=(OperatorModel&&) noexcept;
  OperatorModel(const OperatorModel&) = delete;
  OperatorModel& operator=(const OperatorModel&) = delete;

  /// Throws Error(bad_input) when the SKU lacks a figure that this operator needs.
  [[nodiscard]] OperatorCost cost(const workloads::Operator& op, RunConditions run = {}) const;
  /// The formula behind cost(), with the numbers in it (several lines).
  [[nodiscard]] std::string explain(const workloads::Operator& op, RunConditions run = {}) const;

 private:
  std::unique_ptr<KernelConstants> constants_;
};

/// A model and the conditions of a run, or what is needed to build the model.
struct CostContext {
  const hwmodels::Cluster* cluster = nullptr;
  const hwmodels::Stack* stack = nullptr;
  bool cold_weights = false;  ///< see RunConditions
  double held_units = 0;      ///< see RunConditions
  /// Set it where cost() is called often; without it every call builds one (some 50 us).
  const OperatorModel* model = nullptr;
};

/// Throws Error(bad_input) that names a figure the SKU lacks and this operator needs.
[[nodiscard]] OperatorCost cost(const workloads::Operator& op, const CostContext& context);

/// The formula behind cost(), with the numbers in it (several lines).
[[nodiscard]] std::string explain(const workloads::Operator& op, const CostContext& context);

}  // namespace jevons::sim
