#include "fit_bench.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>
#include <cmath>

namespace jevons::sim {
namespace {

bool same(const FitBench::Group& group, const Scenario& s) {
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

}  // namespace

FitBench::FitBench(std::span<const FitSample> samples) : samples_(samples) {
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const FitSample& sample = samples[i];
    if (sample.scenario == nullptr || sample.scenario->task != Task::op) {
      throw bad_input(sample.id, "only operators can be fitted", "give a scenario of task 'op'");
    }
    if (sample.metric != "time_s" && sample.metric != "achieved_flops_per_s" &&
        sample.metric != "achieved_bytes_per_s") {
      throw bad_input(sample.id, "cannot fit the metric '" + sample.metric + "'",
                      "allowed: time_s, achieved_flops_per_s, achieved_bytes_per_s");
    }
    auto found = std::find_if(groups_.begin(), groups_.end(),
                              [&](const Group& g) { return same(g, *sample.scenario); });
    if (found == groups_.end()) {
      groups_.push_back({sample.scenario->cluster, sample.scenario->stack, {}});
      found = groups_.end() - 1;
    }
    found->samples.push_back(i);
  }
}

bool FitBench::in_scope(const Group& group, const std::string& scope) {
  const hwmodels::Accelerator& chip = group.cluster.accelerator;
  return scope.empty() || scope == chip.id || scope == chip.generation;
}

void FitBench::residuals(const Group& group, std::span<const FittedConstant> constants,
                         std::span<double> out) const {
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
