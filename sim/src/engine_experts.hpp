// Routed experts as serving engines run them inside a step: one fused kernel for both projections.
//
//   t = ((bytes / (e BW))³ + (FLOPs / (f F))³)^(1/3)
//   bytes  the weights of the experts that got a row, on the rank with most of them: mean +
//          z sqrt(mean (1 - mean / local)), z the greatest of ep normal draws
//   FLOPs  2 × parameters × (rows + min(rows, 16 × experts hit)): rows are padded to tiles of 16
//   e      share of the memory bandwidth by weight format
//   f      share of the dense peak of the arithmetic; another one for block-scaled weights, and
//          where dispatch kernels deliver the rows grouped by expert (attention data parallelism
//          with expert parallelism)
// 4-bit weights of 16-bit arithmetic (W4A16; nvfp4 and mxfp4 on chips without 4-bit units) are
// unpacked by kernels written for older matrix instructions (Marlin): both rates are so much per
// compute unit, on Hopper as on Blackwell, where that is less.
// Source: operators-communication-engines 3.1, fitted on 430 measured engine steps; constants in
// hwmodels/data/stacks/_serve.json. Kernel tables (moe_cost.cpp) time one kernel of one library in
// a loop and are 1.2-1.5 x slower than these engines at decode batches. Times per token leave f
// open (0.10-0.32); times to first token set it.
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
  [[nodiscard]] double compute_rate(const workloads::Operator& op, bool grouped) const;

  const hwmodels::Accelerator& accelerator_;
  bool used_ = false;
  double bandwidth_ = 0, units_ = 1;
  double wide_ = 1, fp8_ = 1, fp8_block_ = 1, fp4_ = 1;
  double compute_ = 1, compute_block_ = 1, grouped_ = 1;
  double unpack_bytes_ = 0, unpack_flops_ = 0;
  double skew_ = 0;
};

}  // namespace jevons::sim
