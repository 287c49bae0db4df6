// What a played step says: in the terms of the closed form, along the critical path, over time.
#include "jevons/core/error.hpp"
#include "jevons/sim/event_train.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <span>

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
  if (experts.max_over_mean > static_cast<double>(std::max(1L, experts.ranks))) {
    throw bad_input("/train/expert_load_max_over_mean",
                    fmt::format("{:g} with ep {}", experts.max_over_mean, experts.ranks),
                    "one rank has all tokens at ep times the mean");
  }
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

namespace {

struct Interval {
  double start, end;
};

/// Seconds of `task` during which nothing in `busy` runs. `busy`: disjoint, in order of time.
double outside(Interval task, const std::vector<Interval>& busy) {
  double covered = 0;
  auto at = std::partition_point(busy.begin(), busy.end(),
                                 [&task](const Interval& b) { return b.end <= task.start; });
  for (; at != busy.end() && at->start < task.end; ++at) {
    covered += std::min(task.end, at->end) - std::max(task.start, at->start);
  }
  return task.end - task.start - covered;
}

/// What a rank's passes exchange in a step, hidden or not.
void add_planned(const TrainingPlan& plan, std::size_t rank, std::span<double> busy) {
  const auto ranks = static_cast<std::size_t>(plan.ranks);
  const bool both_ways = plan.schedule == Schedule::dualpipe && ranks > 1;
  const double times = static_cast<double>(plan.micro_batches) * (both_ways ? 0.5 : 1);
  for (std::size_t i = 0; i < plan.stages.size(); ++i) {
    if (i % ranks != rank && !(both_ways && ranks - 1 - i == rank)) continue;
    for (const PieceTimes& piece : plan.stages[i].pieces) {
      const double n = times * static_cast<double>(piece.repeat);
      for (const PassTimes* pass :
           {&piece.forward, &piece.backward_input, &piece.backward_weight, &piece.recompute}) {
        const auto add = [&](Track track, const CommTime& comm) {
          busy[static_cast<std::size_t>(track)] += n * (comm.exposed + comm.hidden).raw();
        };
        add(Track::tensor, pass->tp);
        add(Track::tensor, pass->cp);
        add(Track::expert, pass->ep);
        add(Track::shard, pass->dp);
      }
    }
  }
}

}  // namespace

std::array<StreamSeconds, static_cast<std::size_t>(Track::count)> communication_of(
    const TrainingTimeline& played, const TrainingPlan& plan, std::size_t rank) {
  std::array<StreamSeconds, static_cast<std::size_t>(Track::count)> out{};
  std::array<double, static_cast<std::size_t>(Track::count)> busy{};
  std::vector<Interval> compute;
  const auto interval = [&](std::size_t task) {
    return Interval{played.timeline.start_s[task], played.timeline.end_s[task]};
  };
  const auto is_compute = [&](std::size_t task) {
    const auto kind = played.labels[task].kind;  // a send on this stream blocks it
    return played.labels[task].track == Track::compute && kind != TaskKind::send;
  };
  for (std::size_t task = 0; task < played.labels.size(); ++task) {
    if (played.labels[task].rank == rank && is_compute(task)) compute.push_back(interval(task));
  }
  for (std::size_t task = 0; task < played.labels.size(); ++task) {
    const auto& label = played.labels[task];
    if (label.rank != rank || label.track == Track::compute) continue;
    const auto track = static_cast<std::size_t>(label.track);
    const Interval when = interval(task);
    busy[track] += when.end - when.start;
    out[track].exposed += outside(when, compute);
  }
  std::array<double, static_cast<std::size_t>(Track::count)> planned{};
  add_planned(plan, rank % static_cast<std::size_t>(plan.ranks), planned);
  for (std::size_t track = 0; track < out.size(); ++track) {
    // A coarse timeline leaves out what compute hides.
    out[track].hidden = std::max(0.0, std::max(busy[track], planned[track]) - out[track].exposed);
  }
  return out;
}

void add_communication(const TrainingTimeline& played, const TrainingPlan& plan, Result& result) {
  const auto streams = communication_of(played, plan, played.slowest_rank());
  Breakdown b{"communication_s", 0, "s", {}, "streams of the slowest rank beside its compute"};
  for (std::size_t track = 0; track < streams.size(); ++track) {
    const std::string name(to_string(static_cast<Track>(track)));
    const auto add = [&](const char* how, double seconds) {
      if (seconds > 0) b.children.push_back({name + how, seconds, "s", {}, ""});
    };
    add(", exposed", streams[track].exposed);
    add(", hidden", streams[track].hidden);
    b.value += streams[track].exposed + streams[track].hidden;
  }
  if (b.value > 0) result.breakdown.push_back(std::move(b));
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
