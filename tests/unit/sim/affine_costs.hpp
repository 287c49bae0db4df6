// Toy costs and requests for the tests of serving engines.
#pragma once

#include "jevons/sim/continuous_batching.hpp"

#include <cstddef>
#include <vector>

namespace jevons::test {

/// A step that costs 1 ms, 0.1 ms a sequence, 1 us a key, and `per_prompt_token_s` a prompt token.
struct Affine {
  double floor_s = 1e-3;
  double per_prompt_token_s = 1e-5;
  sim::StepWork operator()(const sim::StepBatch& b) const {
    sim::StepWork w;
    w.time_s = floor_s + 1e-4 * b.sequences + 1e-6 * b.sequences * b.context +
               per_prompt_token_s * b.prefill_tokens;
    return w;
  }
};

inline sim::StepCosts affine_costs(Affine step = {}) {
  return {step, [step](double sequences, double context, long steps) {
            const auto n = static_cast<double>(steps);
            sim::StepWork w = step({.sequences = sequences, .context = context + (n - 1) / 2});
            w.time_s *= n;
            return w;
          }};
}

/// Lognormal lengths of mean 200 in and `mean_output` out; Poisson arrivals when `rate` is
/// positive.
inline std::vector<sim::Request> drawn(std::size_t count, double rate, double mean_output = 80) {
  sim::ServeSpec spec;
  spec.traffic.kind = rate > 0 ? sim::Traffic::Kind::poisson : sim::Traffic::Kind::closed;
  spec.traffic.requests_per_s = rate;
  spec.input_tokens = {.kind = sim::Length::Kind::lognormal, .mean = 200, .sigma = 0.7};
  spec.output_tokens = {.kind = sim::Length::Kind::lognormal, .mean = mean_output, .sigma = 0.7};
  return sim::draw_requests(spec, count, 11);
}

inline double outputs(const std::vector<sim::Request>& requests) {
  double sum = 0;
  for (const sim::Request& r : requests) sum += r.output;
  return sum;
}

}  // namespace jevons::test
