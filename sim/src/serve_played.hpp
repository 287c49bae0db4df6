// What a played run leaves behind, and its summary. Private to sim.
#pragma once

#include "serve_parts.hpp"

#include "jevons/sim/continuous_batching.hpp"

#include <vector>

namespace jevons::sim {

/// What had been done at a moment.
struct Mark {
  double at_s = 0, tokens = 0;
  double sequence_seconds = 0;  ///< of decoding
  StepWork work, prefill_work;  ///< per accelerator of the decoding (and prefill) instances, summed
};

struct Played {
  std::vector<Request> requests;
  std::vector<Served> served;
  std::vector<Weighted> gaps;
  Mark from, to;         ///< between them lies what counts for rates and loads
  std::size_t cut = 0;   ///< requests of the warm-up
  double instances = 1;  ///< that decoded
  double preemptions = 0, oversized_prompts = 0;

  [[nodiscard]] double span_s() const;
};

/// Rates, latencies and work of what was played, scaled to `replicas` of it.
void summarise(const ServeSpec& spec, const std::vector<Played>& played, double replicas,
               ServeOutcome& out);

}  // namespace jevons::sim
