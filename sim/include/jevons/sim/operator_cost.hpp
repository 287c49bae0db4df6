// Time of one operator on one chip: the cost functions that op, train and serve share.
#pragma once

#include "jevons/core/units.hpp"
#include "jevons/hwmodels/cluster.hpp"
#include "jevons/hwmodels/stack.hpp"
#include "jevons/workloads/operators.hpp"

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
struct CostContext {
  const hwmodels::Cluster* cluster = nullptr;
  const hwmodels::Stack* stack = nullptr;
  /// Weights come from DRAM (inside a model) instead of the L2 a benchmark loop leaves them in.
  bool cold_weights = false;
  /// Compute units that communication kernels hold meanwhile.
  double held_units = 0;
};

/// Throws Error(bad_input) that names a figure the SKU lacks and this operator needs.
[[nodiscard]] OperatorCost cost(const workloads::Operator& op, const CostContext& context);

/// The formula behind cost(), with the numbers in it (several lines).
[[nodiscard]] std::string explain(const workloads::Operator& op, const CostContext& context);

}  // namespace jevons::sim
