// Memory of a training step on the worst pipeline rank, by class.
//
// Weights b_w, gradients b_g, optimizer (master + moments) bytes a parameter, cut by ZeRO;
// activations = in-flight micro-batches × Σ kept bytes of the rank's layers; logits on the last
// stage. Kept bytes of a token and layer, b = bytes of an activation (formulas section 10):
//   4 d b norms · 2 cq b and (2 ck + r) b latents · (q + k + v) b · h v b attention output ·
//   4 h statistics · FFN input/activation widths (3 f gated, 2 f not) b · MoE: 4 E router logits,
//   k d b dispatched rows, 3 (k + Es) m b, k d b expert outputs.
// Unfused (before FlashAttention): 5 h s b/2 scores and 10 d more in dropout masks and copies, and
// the norm part is whole on every tensor-parallel rank without sequence parallelism.
// Recompute: full keeps 2 d per layer (and one live layer), selective drops the scores, a list
// drops its modules. FP8 keeps norm outputs, q latents, dispatched rows and gate/up in 1 byte and
// the attention output in 12 bits where the recipe says so (fp8-block: DeepSeek-V3 report
// section 3.3.3). With sequence parallelism the running layer holds its gathered input and that
// input's gradient besides. Sources: Korthikanti et al. (arXiv 2205.05198), DeepSeek-V3 report.
// Known error: allocator caches and communication buffers are two constants of the stack;
// nvidia-smi shows more than is allocated.
#pragma once

#include "jevons/sim/result.hpp"
#include "jevons/sim/stage_layout.hpp"

#include <vector>

namespace jevons::sim {

struct StageMemory {
  Bytes weights, gradients, optimizer, activations, buffers, logits;
  [[nodiscard]] Bytes total() const {
    return weights + gradients + optimizer + activations + buffers + logits;
  }
  StageMemory& operator+=(const StageMemory& other);
};

struct TrainingMemory {
  std::vector<StageMemory> ranks;  ///< pipeline ranks
  std::size_t worst = 0;
  Bytes capacity;
  /// The first rank while the optimizer runs, after the activations are gone.
  Bytes update;
  [[nodiscard]] bool fits() const;
  [[nodiscard]] const StageMemory& peak() const { return ranks[worst]; }
};

/// One model stage on one of its ranks.
struct StageFootprint {
  StageMemory resident;  ///< the whole step long; activations: of the layer that runs
  Bytes kept;            ///< by a micro-batch from its forward to its backward
  Bytes offloaded;       ///< by a micro-batch to the host
};
[[nodiscard]] StageFootprint stage_footprint(const Scenario& scenario, const StageLayout& stage);

/// What a rank holds beside its stages.
[[nodiscard]] Bytes rank_buffers(const Scenario& scenario);

[[nodiscard]] TrainingMemory training_memory(const Scenario& scenario);

/// Bytes kept per token (before tp and sp divide them: the result is what one rank keeps).
[[nodiscard]] double kept_bytes_per_token(const Scenario& scenario, const workloads::Layer& layer);

/// The first change, in this order, that would make it fit: micro-batch, recompute, sharding, tp,
/// pp, ep, offload. Empty when none does.
[[nodiscard]] std::string smallest_change_that_fits(const Scenario& scenario);

}  // namespace jevons::sim
