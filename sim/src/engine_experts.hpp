// Routed experts as serving engines run them inside a step: one fused kernel for both projections.
//
//   t = ((bytes / (e BW))³ + (FLOPs / (f F))³)^(1/3)
//   bytes  the weights of the experts that got a row, on the rank with most of them: mean +
//          z sqrt(mean (1 - mean / local)), z the greatest of ep normal draws
//   FLOPs  2 × parameters × (rows + min(rows, 16 × experts hit)): rows are padded to tiles of 16
//   e      share of the memory bandwidth by weight format; 4-bit weights of 16-bit arithmetic are
//          bound by dequantisation, 18 GB/s a compute unit, not by memory
//   f      share of the dense peak of the arithmetic; another one where dispatch kernels deliver
//   the
//          rows grouped by expert (attention data parallelism with expert parallelism)
// Source: operators-communication-engines 3.1, fitted on 430 measured engine steps; constants in
// hwmodels/data/stacks/_serve.json. Kernel tables (moe_cost.cpp) time one kernel of one library in
// a loop and are 1.2-1.5 x slower than these engines at decode batches. Known error: f is not well
// determined (0.10-0.32).
#pragma once

#include "jevons/hwmodels/cluster.hpp"
#include "jevons/hwmodels/stack.hpp"
#include "jevons/workloads/operators.hpp"

namespace jevons::sim {

class EngineExperts {
 public:
  EngineExperts(const hwmodels::Cluster& cluster, const hwmodels::Stack& stack);
  /// The stack runs its experts by these constants; otherwise by the kernel model of the chip.
  [[nodiscard]] bool used() const { return used_; }
  [[nodiscard]] double time(const workloads::MoeExperts& shape, const workloads::Operator& op,
                            bool grouped) const;
  /// Experts of a rank that get a row, in the mean over ranks, by the stack's skew of popularity.
  [[nodiscard]] double hit(const workloads::MoeExperts& shape) const;

 private:
  [[nodiscard]] double memory_rate(const workloads::Operator& op) const;

  const hwmodels::Accelerator& accelerator_;
  bool used_ = false;
  double bandwidth_ = 0, units_ = 1;
  double wide_ = 1, fp8_ = 1, fp8_block_ = 1, fp4_ = 1, per_unit_ = 0, compute_ = 1, grouped_ = 1;
  double skew_ = 0;
};

}  // namespace jevons::sim
