// The training task: plan, time, memory, metrics.
#include "train_metrics.hpp"

#include "jevons/sim/memory.hpp"
#include "jevons/sim/power.hpp"
#include "jevons/sim/run.hpp"
#include "jevons/sim/timeline.hpp"

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
    const auto& layout = scenario.parallelism;
    events =
        full_cluster(plan, layout.dp, layout.tp * layout.cp, options.speed_spread, scenario.seed);
  }
  const TrainingTimeline played = play_training(plan, events);
  add_critical_path(played, result);
  return {time_of(played, plan), played_memory(scenario, played),
          mean_chip_power(scenario, played)};
}

}  // namespace

Result run_train(const Scenario& scenario, const RunOptions& options) {
  Result result;
  result.scenario = scenario;
  TrainingPlanReport report = plan_training_with_report(scenario);
  const Step step = options.resolution == Resolution::analytic
                        ? calculate(scenario, report)
                        : play(scenario, report.plan, options, result);
  detail::add_step_metrics(scenario, report, step.time, result);
  detail::add_step_breakdown(report, step.time, result);
  detail::add_memory_metrics(scenario, step.memory, result);
  detail::add_run_metrics(scenario, step.time, step.chip, result);
  result.operators = std::move(report.operators);
  add_provenance(scenario, result);
  return result;
}

}  // namespace jevons::sim
