// The training task: plan, time, memory, metrics.
#include "train_metrics.hpp"

#include "jevons/sim/event_train.hpp"
#include "jevons/sim/run.hpp"

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

TrainingTime play(const Scenario& scenario, const TrainingPlan& plan, const RunOptions& options,
                  Result& result) {
  EventOptions events;
  if (options.full_cluster) {
    const auto& layout = scenario.parallelism;
    events =
        full_cluster(plan, layout.dp, layout.tp * layout.cp, options.speed_spread, scenario.seed);
  }
  const TrainingTimeline played = play_training(plan, events);
  add_critical_path(played, result);
  return time_of(played, plan);
}

}  // namespace

Result run_train(const Scenario& scenario, const RunOptions& options) {
  Result result;
  result.scenario = scenario;
  TrainingPlanReport report = plan_training_with_report(scenario);
  const TrainingTime time = options.resolution == Resolution::analytic
                                ? closed_form(report.plan)
                                : play(scenario, report.plan, options, result);
  const TrainingMemory memory = training_memory(scenario);
  detail::add_step_metrics(scenario, report, time, result);
  detail::add_step_breakdown(report, time, result);
  detail::add_memory_metrics(scenario, memory, result);
  detail::add_run_metrics(scenario, report, time, result);
  result.operators = std::move(report.operators);
  add_provenance(scenario, result);
  return result;
}

}  // namespace jevons::sim
