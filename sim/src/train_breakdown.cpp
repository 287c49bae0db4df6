// Where the step went: parts that add up to step_time_s.
#include "train_metrics.hpp"

#include <algorithm>
#include <cstdio>

namespace jevons::sim::detail {
namespace {

Breakdown leaf(std::string name, double seconds, std::string formula = {}) {
  return {std::move(name), seconds, "s", {}, std::move(formula)};
}

bool is_communication(const std::string& kind) {
  return kind.ends_with("_parallel") || kind == "fsdp";
}

/// Seconds by kind of one micro-batch on a pipeline rank.
std::vector<std::pair<std::string, double>> kinds_of(const TrainingPlanReport& report,
                                                     std::size_t rank) {
  const TrainingPlan& plan = report.plan;
  const auto ranks = static_cast<std::size_t>(plan.ranks);
  const bool both_ways = plan.schedule == Schedule::dualpipe && ranks > 1;
  std::vector<std::pair<std::string, double>> sum;
  const auto add = [&](const StageKinds& stage, double factor) {
    if (sum.empty()) {
      sum = stage.seconds;
      for (auto& [name, value] : sum) value = 0;
    }
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i].second += factor * stage.seconds[i].second;
  };
  for (std::size_t i = rank; i < report.kinds.size(); i += ranks) {
    add(report.kinds[i], both_ways ? 0.5 : 1);
  }
  if (both_ways) add(report.kinds[ranks - 1 - rank], 0.5);
  return sum;
}

/// Splits `total` over the kinds of one class in proportion to their own time.
Breakdown split(std::string name, double total,
                const std::vector<std::pair<std::string, double>>& kinds, bool communication) {
  Breakdown b = leaf(std::move(name), total);
  double sum = 0;
  for (const auto& [kind, value] : kinds)
    sum += is_communication(kind) == communication ? value : 0;
  for (const auto& [kind, value] : kinds) {
    if (is_communication(kind) != communication || value <= 0) continue;
    b.children.push_back(leaf(kind, total * value / sum));
  }
  return b;
}

std::string phases(const TrainingTime& t) {
  char buffer[256];
  std::snprintf(buffer, sizeof buffer,
                "%.0f overlapped pairs of %.1f ms, %.0f lone forwards of %.1f ms and backwards of "
                "%.1f ms (weight part %.1f ms)",
                t.pairs, t.pair.raw() * 1e3, t.lone_passes, t.lone_forward.raw() * 1e3,
                t.lone_backward.raw() * 1e3, t.weight.raw() * 1e3);
  return buffer;
}

}  // namespace

void add_step_breakdown(const TrainingPlanReport& report, const TrainingTime& t, Result& result) {
  const auto kinds = kinds_of(report, t.slowest);
  const double busy = t.pipeline_busy.raw();
  const double compute = busy - t.exposed_comm.raw() - t.host_bound.raw();
  Breakdown step = leaf("step_time_s", t.step.raw());
  if (t.pairs > 0) step.formula = phases(t);
  step.children.push_back(split("compute", compute, kinds, false));
  step.children.push_back(split("exposed_communication", t.exposed_comm.raw(), kinds, true));
  if (t.host_bound.raw() > 0) step.children.push_back(leaf("host_bound", t.host_bound.raw()));
  step.children.push_back(leaf("bubble", t.bubble.raw()));
  step.children.push_back(leaf("pipeline_sends", t.p2p.raw()));
  step.children.push_back(leaf("data_parallel", t.data_parallel.raw()));
  step.children.push_back(leaf("optimizer", t.optimizer.raw()));
  step.children.push_back(leaf("host", t.host.raw()));
  result.breakdown.push_back(std::move(step));
}

}  // namespace jevons::sim::detail
