#include "jevons/sim/fixed_batch.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace jevons::sim {
namespace {

/// What is left of the prompts, from the one a step ended in.
struct Prompts {
  std::span<const Request> requests;
  std::size_t next = 0;
  double done = 0;  ///< tokens of the next one
  double oversized = 0;

  [[nodiscard]] bool finished() const { return next == requests.size(); }

  StepBatch step(const BatchingLimits& limits) {
    StepBatch batch;
    double budget = limits.step_tokens, weighted = 0;
    while (!finished() && budget >= 1) {
      const Request& r = requests[next];
      const double rest = r.input - r.cached - done;
      if (!limits.chunked_prefill && rest > budget && batch.prefill_sequences > 0) break;
      const double take = limits.chunked_prefill ? std::min(rest, budget) : rest;
      if (take > limits.step_tokens) oversized += 1;
      weighted += take * (r.cached + done + take / 2);
      batch.prefill_tokens += take;
      batch.prefill_sequences += 1;
      budget -= take;
      done += take;
      if (take < rest) break;
      done = 0;
      ++next;
    }
    batch.prefill_position = weighted / batch.prefill_tokens;
    return batch;
  }
};

/// Every sequence to its last token, the shortest first.
void decode(std::span<const Request> requests, const BatchingLimits& limits, const StepCosts& costs,
            FixedBatch& out) {
  std::vector<std::size_t> order(requests.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return requests[a].output < requests[b].output;
  });
  double sequences = static_cast<double>(requests.size()), inputs = 0;
  for (const Request& r : requests) inputs += r.input;
  long done = 0;
  for (const std::size_t i : order) {
    const Request& r = requests[i];
    const auto last = static_cast<long>(std::ceil((r.output - 1) / limits.tokens_per_step - 1e-9));
    if (last > done) {
      const auto steps = static_cast<double>(last - done);
      const double context =
          inputs / sequences + 1 + limits.tokens_per_step * static_cast<double>(done);
      const StepWork run = costs.run(sequences, context, last - done);
      out.work += run;
      out.end_s += run.time_s;
      out.decode_s += run.time_s;
      out.sequence_seconds += sequences * run.time_s;
      const auto at = [&](double step) {
        return costs.step({.sequences = sequences, .context = context + step}).time_s;
      };
      const double spread = at((steps - 1) * limits.tokens_per_step) - at(0);
      out.gaps.push_back({run.time_s / steps, sequences * steps, spread, steps});
      done = last;
    }
    out.served[i].done_s = out.end_s;
    sequences -= 1;
    inputs -= r.input;
  }
}

}  // namespace

FixedBatch play_fixed_batch(std::span<const Request> requests, const BatchingLimits& limits,
                            const StepCosts& costs) {
  FixedBatch out;
  Prompts prompts{.requests = requests};
  while (!prompts.finished()) out.work += costs.step(prompts.step(limits));
  out.oversized_prompts = prompts.oversized;
  out.end_s = out.work.time_s;
  out.served.assign(requests.size(), Served{.first_token_s = out.end_s});
  decode(requests, limits, costs, out);
  return out;
}

}  // namespace jevons::sim
