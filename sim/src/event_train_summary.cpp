// What a played step says: in the terms of the closed form, along the critical path, over time.
#include "jevons/sim/event_train.hpp"

#include <algorithm>
#include <cmath>
#include <random>

namespace jevons::sim {

namespace {
constexpr double kRounding = 1e-12;  // of a sum of many times
}  // namespace

EventOptions full_cluster(const TrainingPlan& plan, const workloads::Parallelism& layout,
                          double spread, UnevenExperts experts) {
  EventOptions out;
  const long chips = layout.tp * layout.cp;
  out.replicas = layout.dp;
  experts.ranks = layout.ep;
  experts.replicas = std::max(1L, layout.ep * layout.etp / chips);
  out.experts = experts;
  if (spread > 0) {
    std::mt19937_64 random(experts.seed);
    std::normal_distribution<double> normal;
    for (long i = 0; i < plan.ranks * layout.dp; ++i) {
      double slowest = normal(random);
      for (long chip = 1; chip < chips; ++chip) {
        slowest = std::max(slowest, normal(random));
      }
      out.slowdown.push_back(std::exp(spread * slowest));
    }
  }
  return out;
}

void add_critical_path(const TrainingTimeline& played, Result& result) {
  Breakdown path{"critical_path_s", played.step().raw(), "s", {}, ""};
  path.formula = "the longest chain of tasks that wait for each other, across ranks";
  for (std::size_t kind = 0; kind < played.critical_s.size(); ++kind) {
    if (played.critical_s[kind] > 0) {
      path.children.push_back({std::string(to_string(static_cast<TaskKind>(kind))),
                               played.critical_s[kind],
                               "s",
                               {},
                               ""});
    }
  }
  result.breakdown.push_back(std::move(path));
}

TrainingTime time_of(const TrainingTimeline& played, const TrainingPlan& plan) {
  TrainingTime out;
  out.slowest = played.slowest_rank() % static_cast<std::size_t>(plan.ranks);
  const auto& rank = played.ranks[out.slowest];
  const Seconds fixed =
      static_cast<double>(plan.micro_batches) * plan.host_per_micro_batch + plan.host_per_step;
  out.step = played.step();
  out.host = fixed;
  const double host = rank.host - fixed.raw();
  out.host_bound = Seconds(host > kRounding * rank.host ? host : 0.0);
  out.exposed_comm = Seconds(rank.exposed_comm);
  out.pipeline_busy = Seconds(rank.compute) + out.exposed_comm + out.host_bound;
  out.bubble = Seconds(rank.bubble);
  out.p2p = Seconds(rank.sends);
  out.data_parallel = Seconds(rank.data_parallel);
  out.optimizer = Seconds(rank.optimizer);
  const auto& passes = played.passes[out.slowest];
  const auto pass = [&](Pass of) { return passes[static_cast<std::size_t>(of)]; };
  out.pairs = static_cast<double>(pass(Pass::pair).count);
  if (out.pairs > 0) {
    out.lone_passes = static_cast<double>(pass(Pass::forward).count);
    out.lone_forward = Seconds(pass(Pass::forward).mean());
    out.pair = Seconds(pass(Pass::pair).mean());
    out.weight = Seconds(pass(Pass::backward_weight).mean());
    // Some lone backwards put their weight gradients off.
    out.lone_backward = Seconds(pass(Pass::backward).count > 0
                                    ? pass(Pass::backward).mean()
                                    : pass(Pass::backward_input).mean() + out.weight.raw());
  }
  return out;
}

std::vector<ActivitySeries> activity_over_time(const TrainingTimeline& played, std::size_t bins) {
  const std::vector<double> zero(bins, 0.0);
  std::vector<ActivitySeries> out(played.ranks.size(), {zero, zero});
  const double width = played.step().raw() / static_cast<double>(bins);
  for (std::size_t task = 0; task < played.labels.size(); ++task) {
    const auto& label = played.labels[task];
    const double start = played.timeline.start_s[task], end = played.timeline.end_s[task];
    if (label.track != Track::compute || end <= start) {
      continue;
    }
    auto& rank = out[label.rank];
    const auto first = static_cast<std::size_t>(start / width);
    for (auto bin = first; bin < bins && static_cast<double>(bin) * width < end; ++bin) {
      const double from = std::max(start, static_cast<double>(bin) * width);
      const double to = std::min(end, static_cast<double>(bin + 1) * width);
      const double share = std::max(0.0, to - from) / width;
      rank.flops_per_s[bin] += played.activity[task].flops / (end - start) * share;
      rank.hbm_bytes_per_s[bin] += played.activity[task].hbm_bytes / (end - start) * share;
    }
  }
  return out;
}

}  // namespace jevons::sim
