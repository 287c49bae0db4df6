// One fixed batch: prompts first, then decoding to the last token.
//
// Prompts run in steps of at most the token budget (whole ones without chunked prefill; one that is
// longer than the budget runs alone); when all are done every sequence has its first token. Then
// the batch decodes, and a sequence leaves when its output is complete: between two departures the
// steps are one jump. There is no scheduler, and no limit of the cache: whether the batch fits is
// for the memory model to say.
#pragma once

#include "jevons/sim/continuous_batching.hpp"

#include <span>
#include <vector>

namespace jevons::sim {

struct FixedBatch {
  std::vector<Served> served;  ///< from time zero
  std::vector<Weighted> gaps;
  StepWork work;
  double end_s = 0;
  double sequence_seconds = 0;  ///< of decoding
  double decode_s = 0;
  double oversized_prompts = 0;
};

[[nodiscard]] FixedBatch play_fixed_batch(std::span<const Request> requests,
                                          const BatchingLimits& limits, const StepCosts& costs);

}  // namespace jevons::sim
