// The training step as a plan: what every stage does for one micro-batch, costed, before it is put
// in time. The closed form and the event path both start from it, so that they differ only in how
// overlap, bubbles and queueing come about.
#pragma once

#include "jevons/core/units.hpp"
#include "jevons/sim/scenario.hpp"

#include <string>
#include <vector>

namespace jevons::sim {

/// Communication of one kind inside a pass. `exposed` blocks the compute stream; `hidden` runs
/// beside compute as the stack's overlap constants say (and is exposed where compute is too short).
struct CommTime {
  Seconds exposed, hidden;
};

/// One pass (forward, input gradient, weight gradient) of one piece of a stage.
struct PassTimes {
  Seconds compute;      ///< kernels, alone on the whole chip
  Seconds experts;      ///< of those, routed experts on the most loaded rank
  CommTime tp, cp, ep;  ///< tensor, context and expert parallel
  CommTime dp;          ///< FSDP: gathers of weights, reductions of gradients, per layer
  Seconds host;         ///< floor: the host cannot launch the pass faster than this
  Flops flops;
  Bytes hbm;
  [[nodiscard]] Seconds exposed_comm() const {
    return tp.exposed + cp.exposed + ep.exposed + dp.exposed;
  }
  [[nodiscard]] Seconds hidden_comm() const {
    return tp.hidden + cp.hidden + ep.hidden + dp.hidden;
  }
};

/// One layer, the embedding, the head or an MTP module: what the trace shows as a slice.
struct PieceTimes {
  std::string name;
  PassTimes forward, backward_input, backward_weight, recompute;
  long repeat = 1;  ///< identical pieces in a row
  /// Of one of them, on the rank: its share of the stage's gradient reduce and parameter gather.
  /// None known in a stage: equal shares.
  double parameters = 0;
};

/// A model stage (virtual stage: chunk · pp + rank; DualPipe: the stage along one direction).
struct StageTimes {
  std::vector<PieceTimes> pieces;
  Bytes resident;   ///< on the rank for this stage, the whole step long
  Bytes kept;       ///< activations of a micro-batch, from its forward to its backward
  Seconds offload;  ///< of a micro-batch's activations to the host, and as long back again
  Seconds gradient_reduce, parameter_gather;  ///< the whole collective, nothing hidden
  Seconds optimizer_step;
};

/// Which communication leaves the scale-up domain.
struct CrossesDomain {
  bool tensor = false, expert = false, data = false, send = false;
};

struct TrainingPlan {
  Schedule schedule = Schedule::one_f_one_b;
  long ranks = 1, chunks = 1, micro_batches = 1;
  std::vector<StageTimes> stages;  ///< ranks · chunks of them
  Seconds p2p;                     ///< one activation from a stage to the next
  double p2p_overlap = 1;          ///< share of p2p that runs beside compute
  double dp_overlap = 1;           ///< share of the gradient reduce that may run beside backward
  double gather_overlap = 1;       ///< share of the parameter gather that may run beside forward
  double pair_overlap = 1;         ///< DualPipe: share of a pair's all-to-all that compute hides
  double held_units = 0;           ///< compute units that all-to-all kernels hold meanwhile
  /// Kernels of a pair are launched on the units left over, the whole pair long (DeepGEMM's SM
  /// count is set per process); otherwise units are taken only while an all-to-all runs.
  bool held_throughout = true;
  double compute_units = 1;  ///< of the chip
  CrossesDomain crosses;
  Bytes rank_buffers;        ///< what a rank holds beside its stages
  double memory_factor = 1;  ///< what allocators cache on top
  Seconds host_per_micro_batch, host_per_step;
};

}  // namespace jevons::sim
