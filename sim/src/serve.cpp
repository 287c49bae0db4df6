#include "serve_parts.hpp"

#include "jevons/core/error.hpp"
#include "jevons/sim/run.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace jevons::sim {

Instance::Instance(const Scenario& scenario, const workloads::Parallelism& parallelism)
    : layout{.parallelism = parallelism,
             .attention_dp = scenario.serve.attention_dp,
             .redundant_experts = scenario.serve.redundant_experts,
             .load_max_over_mean = scenario.serve.expert_load_max_over_mean.value_or(0)},
      engine(scenario, layout),
      memory(serve_memory(scenario, engine.model(), layout)) {}

namespace {

/// A decode step at the mean batch and a prefill step of one full token budget: what the roofline
/// table lists.
void list_operators(const Scenario& scenario, const ServeOutcome& outcome, Instance& prefill,
                    Instance& decode, Result& result) {
  const MeanLengths len = mean_lengths(scenario.serve);
  const double prompts = std::max(1.0, std::floor(scenario.serve.max_batch_tokens / len.computed));
  const double tokens = std::min(scenario.serve.max_batch_tokens, prompts * len.computed);
  result.operators = prefill.engine.model().operators({.prefill_tokens = tokens,
                                                       .prefill_sequences = prompts,
                                                       .prefill_position = len.prefill_position()},
                                                      "prefill");
  if (len.output <= 1) return;
  auto rows = decode.engine.model().operators(
      {.sequences = std::max(outcome.mean_batch, 1.0), .context = len.context()}, "decode");
  result.operators.insert(result.operators.end(), std::make_move_iterator(rows.begin()),
                          std::make_move_iterator(rows.end()));
}

bool lengths_vary(const ServeSpec& spec) {
  return spec.input_tokens.kind != Length::Kind::fixed ||
         spec.output_tokens.kind != Length::Kind::fixed;
}

ServeOutcome outcome_of(const Scenario& scenario, Instance& instance, Resolution resolution) {
  const Traffic::Kind kind = scenario.serve.traffic.kind;
  if (kind == Traffic::Kind::static_batch) return estimate_static(scenario, instance);
  const bool closed = resolution == Resolution::analytic ||
                      (resolution == Resolution::automatic && kind == Traffic::Kind::closed);
  // A trace has no closed form.
  if (closed && kind != Traffic::Kind::trace) {
    ServeOutcome out = estimate_aggregated(scenario, instance);
    if (lengths_vary(scenario.serve)) {
      out.warnings.push_back({"mean_lengths",
                              "the closed form counts the mean lengths only; --event draws them",
                              "/serve/input_tokens"});
    }
    return out;
  }
  return simulate_aggregated(scenario, instance);
}

Result run_disaggregated(const Scenario& scenario, double activity_scale) {
  Result result;
  result.scenario = scenario;
  if (!scenario.serve.prefill || !scenario.serve.decode) {
    throw bad_input("/serve", "disaggregated serving needs both pools, prefill and decode");
  }
  Instance prefill(scenario, scenario.serve.prefill->parallelism);
  Instance decode(scenario, scenario.serve.decode->parallelism);
  result.infeasible = serve_fit(scenario, decode.memory, decode.layout);
  if (!result.infeasible) {
    result.infeasible = serve_fit(scenario, prefill.memory, prefill.layout);
  }
  if (result.infeasible) {
    result.metrics.set_flag("fits", false);
    return result;
  }
  const ServeOutcome outcome = estimate_disaggregated(scenario, prefill, decode);
  write_serve_metrics(scenario, outcome, decode.memory, decode.engine.gain(), activity_scale,
                      result);
  list_operators(scenario, outcome, prefill, decode, result);
  return result;
}

}  // namespace

Result run_serve(const Scenario& scenario, const RunOptions& options) {
  if (scenario.serve.mode == ServeMode::disaggregated) {
    return run_disaggregated(scenario, options.activity_scale);
  }
  Result result;
  result.scenario = scenario;
  Instance instance(scenario, scenario.parallelism);
  result.infeasible = serve_fit(scenario, instance.memory, instance.layout);
  if (result.infeasible) {
    result.metrics.set_flag("fits", false);
    return result;
  }
  const ServeOutcome outcome = outcome_of(scenario, instance, options.resolution);
  write_serve_metrics(scenario, outcome, instance.memory, instance.engine.gain(),
                      options.activity_scale, result);
  list_operators(scenario, outcome, instance, instance, result);
  return result;
}

}  // namespace jevons::sim
