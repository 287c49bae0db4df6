// What a played run leaves behind, and its summary. Private to sim.
#pragma once

#include "serve_parts.hpp"

#include "jevons/sim/continuous_batching.hpp"

#include <vector>

namespace jevons::sim {

/// Output tokens counted at two moments give a rate.
struct Window {
  double from_s = 0, to_s = 0;
  double tokens_at_from = 0, tokens_at_to = 0;
};

struct Played {
  std::vector<Request> requests;
  std::vector<Served> served;
  std::vector<Weighted> gaps;
  Window window;
  std::size_t cut = 0;   ///< requests of the warm-up
  StepWork work;         ///< per accelerator of the decoding instances, summed over them
  double instances = 1;  ///< that decoded
  double elapsed_s = 0, sequence_seconds = 0, preemptions = 0, oversized_prompts = 0;
};

/// Rates, latencies and work of what was played, scaled to `replicas` of it.
void summarise(const ServeSpec& spec, const std::vector<Played>& played, double replicas,
               ServeOutcome& out);

}  // namespace jevons::sim
