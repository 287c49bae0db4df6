#include "fit_bench.hpp"

#include "jevons/core/error.hpp"
#include "jevons/sim/training.hpp"

#include <algorithm>
#include <cmath>

namespace jevons::sim {
namespace {

bool same(const FitBench::Group& group, const Scenario& s) {
  if (group.task != s.task) return false;
  if (s.task == Task::train) {  // every sample brings its own cluster
    return group.cluster.accelerator.id == s.cluster.accelerator.id && group.stack.id == s.stack.id;
  }
  const hwmodels::Cluster& a = group.cluster;
  const hwmodels::Cluster& b = s.cluster;
  return a.accelerator.id == b.accelerator.id && group.stack.id == s.stack.id &&
         a.count == b.count && a.scale_up_domain == b.scale_up_domain &&
         a.accelerators_per_node == b.accelerators_per_node &&
         a.accelerator.find("compute_units") == b.accelerator.find("compute_units") &&
         a.accelerator.find("memory_bandwidth_bytes_per_s") ==
             b.accelerator.find("memory_bandwidth_bytes_per_s");
}

double predicted(const OperatorCost& cost, const std::string& metric) {
  const double seconds = cost.time.raw();
  if (metric == "time_s") return seconds;
  return (metric == "achieved_flops_per_s" ? cost.flops.raw() : cost.bytes.raw()) / seconds;
}

/// A training step by the closed form.
double predicted_step(const Scenario& s, const std::string& metric) {
  const double step = closed_form(plan_training(s)).step.raw();
  if (metric == "step_time_s") return step;
  const double rate = s.train.global_batch_sequences * s.train.sequence_length / step;
  return metric == "tokens_per_s" ? rate : rate / static_cast<double>(s.cluster.count);
}

void check(const FitSample& sample) {
  const bool known = sample.scenario != nullptr;
  const bool op = known && sample.scenario->task == Task::op;
  if (!op && !(known && sample.scenario->task == Task::train)) {
    throw bad_input(sample.id, "only operators and training steps can be fitted",
                    "give a scenario of task 'op' or 'train'");
  }
  if (!fittable_metric(sample.scenario->task, sample.metric)) {
    throw bad_input(sample.id, "cannot fit the metric '" + sample.metric + "'",
                    op ? "allowed: time_s, achieved_flops_per_s, achieved_bytes_per_s"
                       : "allowed: step_time_s, tokens_per_s, tokens_per_s_per_accelerator");
  }
}

}  // namespace

bool fittable_metric(Task task, std::string_view metric) {
  if (task == Task::train) {
    return metric == "step_time_s" || metric == "tokens_per_s" ||
           metric == "tokens_per_s_per_accelerator";
  }
  return metric == "time_s" || metric == "achieved_flops_per_s" || metric == "achieved_bytes_per_s";
}

FitBench::FitBench(std::span<const FitSample> samples) : samples_(samples) {
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const FitSample& sample = samples[i];
    check(sample);
    auto found = std::find_if(groups_.begin(), groups_.end(),
                              [&](const Group& g) { return same(g, *sample.scenario); });
    if (found == groups_.end()) {
      groups_.push_back(
          {sample.scenario->task, sample.scenario->cluster, sample.scenario->stack, {}});
      found = groups_.end() - 1;
    }
    found->samples.push_back(i);
  }
}

bool FitBench::in_scope(const Group& group, const std::string& scope) {
  const hwmodels::Accelerator& chip = group.cluster.accelerator;
  if (scope.empty() || scope == chip.id || scope == chip.generation) return true;
  return group.task == Task::train && scope == kStackScope + group.stack.id;
}

void FitBench::residuals(const Group& group, std::span<const FittedConstant> constants,
                         std::span<double> out) const {
  if (group.task == Task::train) {
    step_residuals(group, constants, out);
    return;
  }
  hwmodels::Cluster cluster = group.cluster;
  for (const FittedConstant& constant : constants) {
    if (!in_scope(group, constant.scope)) continue;
    cluster.accelerator.constants.set(constant.name, {constant.after, {"fit", Mark::derived}, ""});
  }
  const OperatorModel model(cluster, group.stack);
  for (const std::size_t i : group.samples) {
    const FitSample& sample = samples_[i];
    const double value = predicted(model.cost(sample.scenario->op.op), sample.metric);
    out[i] = std::log(std::max(value, 1e-300) / sample.measured);
  }
}

void FitBench::step_residuals(const Group& group, std::span<const FittedConstant> constants,
                              std::span<double> out) const {
  for (const std::size_t i : group.samples) {
    Scenario scenario = *samples_[i].scenario;
    for (const FittedConstant& constant : constants) {
      if (!in_scope(group, constant.scope)) continue;
      const Sourced value{constant.after, {"fit", Mark::derived}, ""};
      const bool of_stack = constant.scope.starts_with(kStackScope);
      (of_stack ? scenario.stack.constants : scenario.cluster.accelerator.constants)
          .set(constant.name, value);
    }
    const double value = predicted_step(scenario, samples_[i].metric);
    out[i] = std::log(std::max(value, 1e-300) / samples_[i].measured);
  }
}

std::string kernel_family(const workloads::Shape& shape) {
  if (std::holds_alternative<workloads::Gemm>(shape)) return "gemm";
  if (std::holds_alternative<workloads::MoeExperts>(shape)) return "moe";
  if (std::holds_alternative<workloads::MlaDecode>(shape)) return "mla_decode";
  if (std::holds_alternative<workloads::AttentionCore>(shape)) return "attention";
  if (std::holds_alternative<workloads::Collective>(shape)) return "collective";
  if (std::holds_alternative<workloads::MoeExchange>(shape)) return "exchange";
  return "elementwise";
}

}  // namespace jevons::sim
