// Memory of one serving instance and the KV cache it leaves room for.
//
//   KV room = fraction × memory − weights − reserve − workspace        (per accelerator)
//   KV bytes of a token on a rank: GQA heads are cut over min(tp, KV heads), an MLA latent lies on
//   every rank, layers are cut over pp; windows and recurrent states are counted at the mean
//   length. workspace = tokens of a step on this rank × 24 hidden bytes (assumed: some twelve
//   16-bit activations alive at once). fraction and reserve: stack constants.
#pragma once

#include "jevons/sim/result.hpp"
#include "jevons/sim/step_time.hpp"

#include <optional>

namespace jevons::sim {

struct ServeMemory {
  Bytes capacity;  ///< memory × the share the engine may use
  Bytes weights, reserve, workspace;
  double kv_bytes_per_token = 0;    ///< whole model, as published tables count
  double rank_bytes_per_token = 0;  ///< on one accelerator, at the mean length
  double kv_capacity_tokens = 0;    ///< of the instance: over its data-parallel ranks
  double data_ranks = 1;            ///< ranks of the instance that hold different sequences
  /// On one accelerator when the instance holds this many tokens.
  [[nodiscard]] Bytes used_by(double tokens) const;
};

[[nodiscard]] ServeMemory serve_memory(const Scenario& scenario, const StepModel& model,
                                       const StepLayout& layout);
/// Set when the weights, or one request of the mean length, do not fit.
[[nodiscard]] std::optional<Infeasible> serve_fit(const Scenario& scenario,
                                                  const ServeMemory& memory,
                                                  const StepLayout& layout);

}  // namespace jevons::sim
