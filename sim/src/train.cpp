// The training task: plan, time, memory, metrics.
#include "train_metrics.hpp"

#include "jevons/sim/memory.hpp"
#include "jevons/sim/power.hpp"
#include "jevons/sim/run.hpp"
#include "jevons/sim/timeline.hpp"

#include <algorithm>
#include <cmath>

namespace jevons::sim {
namespace {

/// Every stack constant the step used, with its source.
void add_provenance(const Scenario& s, Result& result) {
  result.provenance = s.inputs;
  for (const auto& [name, constant] : s.stack.constants.all()) {
    if (name.starts_with("serve_")) continue;
    result.provenance.push_back(
        {"/stack/" + name, std::to_string(constant.value), constant.source});
  }
  for (const auto& [name, figure] : s.cluster.accelerator.figures) {
    if (!figure.value) continue;
    result.provenance.push_back(
        {"/cluster/accelerator/" + name, std::to_string(*figure.value), figure.source});
  }
  for (const auto& [name, constant] : s.cluster.accelerator.constants.all()) {
    result.provenance.push_back({"/cluster/accelerator/constants/" + name,
                                 std::to_string(constant.value), constant.source});
  }
}

/// What the metrics need of a step, however it was put in time.
struct Step {
  TrainingTime time;
  TrainingMemory memory;
  std::optional<Watts> chip;  ///< mean over the ranks and the step
};

Step calculate(const Scenario& scenario, const TrainingPlanReport& report) {
  Step step{closed_form(report.plan), training_memory(scenario), {}};
  if (power_known(scenario.cluster)) {
    Activity activity;
    activity.flops_per_s = report.rank_flops / step.time.step.raw();
    activity.format = scenario.precision.gemm;
    activity.bytes_per_s = report.rank_bytes / step.time.step.raw();
    step.chip = chip_power(activity, scenario.cluster);
  }
  return step;
}

std::optional<Watts> mean_chip_power(const Scenario& scenario, const TrainingTimeline& played) {
  double sum = 0, samples = 0;
  for (const auto& rank : chip_power_over_time(scenario, played)) {
    for (const Sample& sample : rank) sum += sample.value;
    samples += static_cast<double>(rank.size());
  }
  return samples > 0 ? std::optional(Watts(sum / samples)) : std::nullopt;
}

/// Activations as the timeline holds them; everything else is there the whole step long.
TrainingMemory played_memory(const Scenario& scenario, const TrainingTimeline& played) {
  TrainingMemory memory = training_memory(scenario);
  for (std::size_t rank = 0; rank < memory.ranks.size(); ++rank) {
    StageMemory& m = memory.ranks[rank];
    m.activations += Bytes(played.memory_peak_bytes[rank]) - m.total();
    if (memory.ranks[memory.worst].total() < m.total()) memory.worst = rank;
  }
  return memory;
}

Step play(const Scenario& scenario, TrainingPlan& plan, const RunOptions& options, Result& result) {
  add_memory(scenario, plan);
  EventOptions events;
  if (options.full_cluster) {
    UnevenExperts experts;
    experts.max_over_mean = scenario.train.expert_load_max_over_mean;
    experts.seed = scenario.seed;
    events = full_cluster(plan, scenario.parallelism, options.speed_spread, experts);
  }
  const TrainingTimeline played = play_training(plan, events);
  add_critical_path(played, result);
  add_communication(played, plan, result);
  return {time_of(played, plan), played_memory(scenario, played),
          mean_chip_power(scenario, played)};
}

Step run_step(const Scenario& scenario, TrainingPlanReport report, const RunOptions& options,
              Result& result) {
  return options.resolution == Resolution::analytic ? calculate(scenario, report)
                                                    : play(scenario, report.plan, options, result);
}

double tokens_per_s(const Scenario& s, const Step& step) {
  return s.train.global_batch_sequences * s.train.sequence_length / step.time.step.raw();
}

/// Batches of a ramp, evenly spaced and such that every replica gets whole micro-batches (DualPipe:
/// an even number of them).
std::vector<double> ramp(const RunStage& stage) {
  constexpr int kPoints = 9;
  const Scenario& s = stage.scenario;
  const double unit = s.train.micro_batch_sequences * static_cast<double>(s.parallelism.dp) *
                      (s.train.schedule == Schedule::dualpipe ? 2 : 1);
  const double from = *stage.batch_from, to = s.train.global_batch_sequences;
  std::vector<double> out{from};
  for (int i = 1; i + 1 < kPoints; ++i) {
    const double batch = from + (to - from) * i / (kPoints - 1);
    out.push_back(std::max(std::min(from, to), unit * std::round(batch / unit)));
  }
  out.push_back(to);
  return out;
}

/// A stage whose batch grows: seconds per token and watts averaged over it (trapezoids).
detail::RunPart run_stage(const RunStage& stage, const RunOptions& options, Result& result) {
  detail::RunPart part{stage.name, *stage.scenario.train.tokens, 0, {}};
  const std::vector<double> batches =
      stage.batch_from ? ramp(stage) : std::vector{stage.scenario.train.global_batch_sequences};
  double seconds_per_token = 0, joules_per_token = 0, weights = 0;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    Scenario scenario = stage.scenario;
    scenario.train.global_batch_sequences = batches[i];
    Result unused;
    const Step step = run_step(scenario, plan_training_with_report(scenario), options, unused);
    const bool end = batches.size() > 1 && (i == 0 || i + 1 == batches.size());
    const double weight = end ? 0.5 : 1.0, each = 1 / tokens_per_s(scenario, step);
    weights += weight;
    seconds_per_token += weight * each;
    if (step.chip) joules_per_token += weight * each * step.chip->raw();
    if (i == 0 && !step.memory.fits() && !result.infeasible) {
      detail::add_memory_metrics(scenario, step.memory, unused);
      result.infeasible = unused.infeasible;
      result.infeasible->reason = "stage '" + stage.name + "' " + result.infeasible->reason;
      result.metrics.set_flag("fits", false);
    }
  }
  part.tokens_per_s = weights / seconds_per_token;
  if (joules_per_token > 0) part.chip = Watts(joules_per_token / seconds_per_token);
  return part;
}

std::vector<detail::RunPart> run_parts(const Scenario& scenario, const Step& step,
                                       const RunOptions& options, Result& result) {
  if (scenario.stages.empty()) {
    return {{"run", *scenario.train.tokens, tokens_per_s(scenario, step), step.chip}};
  }
  std::vector<detail::RunPart> parts;
  for (const RunStage& stage : scenario.stages) {
    parts.push_back(run_stage(stage, options, result));
  }
  return parts;
}

}  // namespace

Result run_train(const Scenario& scenario, const RunOptions& options) {
  Result result;
  result.scenario = scenario;
  TrainingPlanReport report = plan_training_with_report(scenario);
  const Step step = run_step(scenario, report, options, result);
  detail::add_step_metrics(scenario, report, step.time, result);
  detail::add_step_breakdown(report, step.time, result);
  detail::add_memory_metrics(scenario, step.memory, result);
  detail::add_power_metrics(scenario, step.time, step.chip, result);
  if (scenario.train.tokens) {
    detail::add_run_metrics(scenario, run_parts(scenario, step, options, result),
                            options.full_cluster, result);
  }
  result.operators = std::move(report.operators);
  add_provenance(scenario, result);
  return result;
}

}  // namespace jevons::sim
