// The closed form: stages to ranks, the pipeline, and what is outside of it.
#include "train_pass.hpp"

#include "jevons/sim/pipeline.hpp"
#include "jevons/sim/training.hpp"

#include <algorithm>

namespace jevons::sim {
namespace {

constexpr Seconds kZero{0.0};

/// One micro-batch on one model stage.
struct StageSum {
  Seconds forward, backward, weight, compute, host_floor, exchange, exposed, gpu, offload;
};

StageSum sum_of(const StageTimes& stage, bool alone) {
  StageSum sum;
  for (const PieceTimes& p : stage.pieces) {
    const double n = static_cast<double>(p.repeat);
    sum.forward += n * detail::forward_time(p);
    sum.backward += n * detail::backward_time(p);
    sum.weight += n * detail::gpu_time(p.backward_weight);
    for (const PassTimes* pass :
         {&p.forward, &p.backward_input, &p.backward_weight, &p.recompute}) {
      sum.compute += n * pass->compute;
      sum.exchange += n * (pass->ep.exposed + pass->ep.hidden);
      sum.exposed += n * (detail::gpu_time(*pass) - pass->compute);
      sum.gpu += n * detail::gpu_time(*pass);
      sum.host_floor += n * pass->host;
    }
  }
  // Copies run beside a forward and a backward, what is longer is waited for. Where one
  // micro-batch is in flight, the same one goes out and comes back meanwhile.
  const Seconds copies = (alone ? 2.0 : 1.0) * stage.offload;
  const Seconds late = std::max(kZero, copies - sum.forward - sum.backward);
  sum.backward += late;
  sum.exposed += late;
  sum.gpu += late;
  sum.offload = stage.offload;
  return sum;
}

/// A forward and a backward side by side: compute on the units that the exchange leaves, and the
/// share of the shorter that does not overlap.
Seconds pair_time(const TrainingPlan& plan, const StageSum& s) {
  const double left = plan.compute_units / (plan.compute_units - plan.held_units);
  const Seconds other = s.exposed - s.exchange;  // tensor and context parallel
  const Seconds kernels = left * s.compute + std::max(kZero, other);
  const Seconds shorter = std::min(kernels, s.exchange);
  const Seconds gpu = std::max(kernels, s.exchange) + (1 - plan.pair_overlap) * shorter;
  return std::max({gpu, s.host_floor, s.offload});
}

void accumulate(StageSum& into, const StageSum& s, double factor) {
  into.forward += factor * s.forward;
  into.backward += factor * s.backward;
  into.weight += factor * s.weight;
  into.compute += factor * s.compute;
  into.host_floor += factor * s.host_floor;
  into.exchange += factor * s.exchange;
  into.exposed += factor * s.exposed;
  into.gpu += factor * s.gpu;
  into.offload += factor * s.offload;
}

/// Exposed part of a collective of length t beside a pass of length `beside`.
Seconds exposed_beside(Seconds t, double overlap, Seconds beside) {
  return std::max(std::max(kZero, t - overlap * beside), (1 - overlap) * t);
}

}  // namespace

TrainingTime closed_form(const TrainingPlan& plan) {
  const auto ranks = static_cast<std::size_t>(plan.ranks);
  const bool both_ways = plan.schedule == Schedule::dualpipe && plan.ranks > 1;
  // Kept between calls, so that a search that tries many plans takes no memory for each.
  static thread_local std::vector<StageSum> sums;
  static thread_local std::vector<RankTimes> times;
  sums.assign(ranks, {});
  times.assign(ranks, {});
  Seconds data_parallel{0.0}, optimizer{0.0};
  for (std::size_t i = 0; i < plan.stages.size(); ++i) {
    const double flying =
        in_flight(plan.schedule, plan.ranks, plan.chunks, static_cast<double>(plan.micro_batches),
                  static_cast<long>(i % ranks));
    const StageSum s = sum_of(plan.stages[i], flying < 2);
    accumulate(sums[i % ranks], s, both_ways ? 0.5 : 1);
    if (both_ways) accumulate(sums[ranks - 1 - i], s, 0.5);
  }
  for (std::size_t r = 0; r < ranks; ++r) {
    const StageSum& s = sums[r];
    const Seconds pair = both_ways ? pair_time(plan, s) : s.forward + s.backward;
    times[r] = {s.forward, s.backward, s.weight, pair};
    Seconds reduce{0.0}, gather{0.0}, update{0.0};
    for (std::size_t i = r; i < plan.stages.size(); i += ranks) {
      reduce += plan.stages[i].gradient_reduce;
      gather += plan.stages[i].parameter_gather;
      update += plan.stages[i].optimizer_step;
    }
    if (both_ways) {  // the stage of the other direction; its update is shared with the other copy
      reduce += plan.stages[ranks - 1 - r].gradient_reduce;
      gather += plan.stages[ranks - 1 - r].parameter_gather;
    }
    data_parallel =
        std::max(data_parallel, exposed_beside(reduce, plan.dp_overlap, s.backward) +
                                    exposed_beside(gather, plan.gather_overlap, s.forward));
    optimizer = std::max(optimizer, update);
  }
  const PipelineTime pipeline =
      pipeline_time({plan.schedule, plan.chunks, static_cast<double>(plan.micro_batches), plan.p2p,
                     plan.p2p_overlap},
                    times);
  TrainingTime t;
  for (std::size_t r = 1; r < ranks; ++r) {
    if (times[t.slowest].forward + times[t.slowest].backward <
        times[r].forward + times[r].backward) {
      t.slowest = r;
    }
  }
  const RankTimes& slow = times[t.slowest];
  t.pipeline_busy = pipeline.busy;
  t.bubble = pipeline.bubble;
  t.p2p = pipeline.p2p;
  t.pairs = pipeline.pairs;
  t.lone_passes = pipeline.lone_passes;
  t.lone_forward = slow.forward;
  t.lone_backward = slow.backward;
  t.pair = slow.pair;
  t.weight = slow.weight;
  const double n = static_cast<double>(plan.micro_batches);
  const Seconds compute = n * sums[t.slowest].compute;
  const StageSum& s = sums[t.slowest];
  t.host_bound = both_ways ? kZero : n * std::max(kZero, s.forward + s.backward - s.gpu);
  t.exposed_comm = std::max(kZero, t.pipeline_busy - compute - t.host_bound);
  t.data_parallel = data_parallel;
  t.optimizer = optimizer;
  t.host = n * plan.host_per_micro_batch + plan.host_per_step;
  t.step = pipeline.total + data_parallel + optimizer + t.host;
  return t;
}

}  // namespace jevons::sim
