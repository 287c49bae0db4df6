#include "fit_bench.hpp"

#include "jevons/core/error.hpp"
#include "jevons/sim/run.hpp"
#include "jevons/sim/training.hpp"

#include <algorithm>
#include <cmath>

namespace jevons::sim {
namespace {

bool same(const FitBench::Group& group, const Scenario& s) {
  if (group.task != s.task) return false;
  if (s.task != Task::op) {  // every sample brings its own cluster
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

double predicted_serving(const Scenario& s, const std::string& metric, double activity_scale) {
  RunOptions options;
  options.activity_scale = activity_scale;
  return run_serve(s, options).metrics.number(metric).value_or(0);
}

const char* allowed_metrics(Task task) {
  switch (task) {
    case Task::op: return "allowed: time_s, achieved_flops_per_s, achieved_bytes_per_s";
    case Task::train: return "allowed: step_time_s, tokens_per_s, tokens_per_s_per_accelerator";
    case Task::serve: break;
  }
  return "allowed: time per token or to the first one, tokens per second, power_w_per_accelerator";
}

void check(const FitSample& sample) {
  if (sample.scenario == nullptr) throw bad_input(sample.id, "a sample without a scenario");
  if (!fittable_metric(sample.scenario->task, sample.metric)) {
    throw bad_input(sample.id, "cannot fit the metric '" + sample.metric + "'",
                    allowed_metrics(sample.scenario->task));
  }
}

}  // namespace

bool fittable_metric(Task task, std::string_view metric) {
  if (task == Task::serve) {
    return metric.starts_with("tpot_") || metric.starts_with("ttft_") ||
           metric.starts_with("output_tokens_per_s") || metric.starts_with("total_tokens_per_s") ||
           metric.starts_with("input_tokens_per_s") || metric == "power_w_per_accelerator";
  }
  if (task == Task::train) {
    return metric == "step_time_s" || metric == "tokens_per_s" ||
           metric == "tokens_per_s_per_accelerator";
  }
  return metric == "time_s" || metric == "achieved_flops_per_s" || metric == "achieved_bytes_per_s";
}

FitBench::FitBench(std::span<const FitSample> samples) : samples_(samples) {
  scales_.assign(samples.size(), 1.0);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const FitSample& sample = samples[i];
    check(sample);
    if (sample.output_rate > 0) {
      const double now = predicted_serving(*sample.scenario, "output_tokens_per_s", 1);
      if (now > 0) scales_[i] = sample.output_rate / now;
    }
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

const std::string& serving_family(const hwmodels::Stack& stack) {
  return stack.based_on.empty() || stack.based_on.front() == '_' ? stack.id : stack.based_on;
}

bool stack_gives(const hwmodels::Stack& stack, const std::string& name, const std::string& scope) {
  const auto found = stack.given_by.find(name);
  return found != stack.given_by.end() && scope == kStackScope + found->second;
}

bool FitBench::in_scope(const Group& group, const std::string& name, const std::string& scope) {
  const hwmodels::Accelerator& chip = group.cluster.accelerator;
  if (scope.empty() || scope == chip.id || scope == chip.generation) return true;
  if (group.task == Task::op) return false;
  if (group.task == Task::train) return stack_gives(group.stack, name, scope);
  return scope == kStackScope + serving_family(group.stack) || scope == kStackScope + "*";
}

void FitBench::residuals(const Group& group, std::span<const FittedConstant> constants,
                         std::span<double> out) const {
  if (group.task != Task::op) {
    step_residuals(group, constants, out);
    return;
  }
  hwmodels::Cluster cluster = group.cluster;
  for (const FittedConstant& constant : constants) {
    if (!in_scope(group, constant.name, constant.scope)) continue;
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
      if (!in_scope(group, constant.name, constant.scope)) continue;
      const Sourced value{constant.after, {"fit", Mark::derived}, ""};
      const bool of_stack = constant.scope.starts_with(kStackScope);
      const std::vector<std::string>& own = scenario.stack.own_constants;
      if (constant.scope == kStackScope + "*" &&
          std::find(own.begin(), own.end(), constant.name) != own.end()) {
        continue;  // shared by those that have none of their own
      }
      (of_stack ? scenario.stack.constants : scenario.cluster.accelerator.constants)
          .set(constant.name, value);
    }
    const double value = group.task == Task::serve
                             ? predicted_serving(scenario, samples_[i].metric, scales_[i])
                             : predicted_step(scenario, samples_[i].metric);
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
