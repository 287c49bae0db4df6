#include "serve_parts.hpp"

#include "jevons/core/error.hpp"
#include "jevons/sim/requests.hpp"
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

/// Closed loops keep their closed form unless events are asked for, or the stack holds prompts back
/// (of that the closed form knows little); a trace has none.
bool plays_events(const Scenario& scenario, Resolution resolution) {
  const ServeSpec& spec = scenario.serve;
  const Traffic::Kind kind = spec.traffic.kind;
  if (kind == Traffic::Kind::trace) return true;
  if (resolution != Resolution::automatic) return resolution == Resolution::event;
  if (kind == Traffic::Kind::static_batch) return spec.traffic.batch <= kMostRequests;
  return kind != Traffic::Kind::closed || holds_prompts(scenario);
}

/// What the closed forms leave out.
void warn_of_means(const ServeSpec& spec, ServeOutcome& out) {
  if (lengths_vary(spec)) {
    out.warnings.push_back({"mean_lengths",
                            "the closed form counts the mean lengths only; --event draws them",
                            "/serve/input_tokens"});
  }
  if (!spec.chunked_prefill && mean_lengths(spec).computed > spec.max_batch_tokens) {
    out.warnings.push_back(oversized_warning(spec, 1));
  }
}

ServeOutcome outcome_of(const Scenario& scenario, Instance& instance, Resolution resolution) {
  const bool fixed = scenario.serve.traffic.kind == Traffic::Kind::static_batch;
  if (plays_events(scenario, resolution)) {
    return fixed ? simulate_static(scenario, instance) : simulate_aggregated(scenario, instance);
  }
  ServeOutcome out =
      fixed ? estimate_static(scenario, instance) : estimate_aggregated(scenario, instance);
  warn_of_means(scenario.serve, out);
  return out;
}

ServeOutcome outcome_of_pools(const Scenario& scenario, Instance& prefill, Instance& decode,
                              Resolution resolution) {
  if (plays_events(scenario, resolution)) {
    return simulate_disaggregated(scenario, prefill, decode);
  }
  ServeOutcome out = estimate_disaggregated(scenario, prefill, decode);
  warn_of_means(scenario.serve, out);
  return out;
}

Result run_disaggregated(const Scenario& scenario, const RunOptions& options) {
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
  const ServeOutcome outcome = outcome_of_pools(scenario, prefill, decode, options.resolution);
  write_serve_metrics(scenario, outcome, decode.memory, decode.engine.gain(),
                      options.activity_scale, result);
  list_operators(scenario, outcome, prefill, decode, result);
  return result;
}

}  // namespace

Result run_serve(const Scenario& scenario, const RunOptions& options) {
  if (scenario.serve.mode == ServeMode::disaggregated) {
    return run_disaggregated(scenario, options);
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
