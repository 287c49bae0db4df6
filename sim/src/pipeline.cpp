#include "jevons/sim/pipeline.hpp"

#include <algorithm>

namespace jevons::sim {
namespace {

constexpr Seconds kZero{0.0};

std::size_t slowest_rank(std::span<const RankTimes> ranks) {
  std::size_t slowest = 0;
  for (std::size_t i = 1; i < ranks.size(); ++i) {
    if (ranks[slowest].forward + ranks[slowest].backward < ranks[i].forward + ranks[i].backward) {
      slowest = i;
    }
  }
  return slowest;
}

/// What the other ranks add while the pipeline fills and drains.
Seconds fill_and_drain(const PipelineShape& shape, std::span<const RankTimes> ranks,
                       std::size_t slowest) {
  Seconds bubble{0.0};
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    if (i == slowest) continue;
    Seconds part = ranks[i].forward + ranks[i].backward;
    if (shape.schedule == Schedule::zb_h1) part -= 2.0 * ranks[i].weight;
    bubble += std::max(kZero, part);
  }
  return shape.schedule == Schedule::interleaved ? bubble / static_cast<double>(shape.chunks)
                                                 : bubble;
}

PipelineTime dualpipe(const PipelineShape& shape, std::span<const RankTimes> ranks) {
  const double stages = static_cast<double>(ranks.size());
  const RankTimes& t = ranks[slowest_rank(ranks)];
  PipelineTime time;
  time.lone_passes = std::min(shape.micro_batches, 1.5 * stages - 1);
  time.pairs = shape.micro_batches - time.lone_passes;
  time.busy = time.pairs * t.pair + time.lone_passes * (t.forward + t.backward);
  time.bubble =
      std::max(0.0, stages / 2 - 1) * std::max(kZero, t.pair + t.backward - 3.0 * t.weight);
  return time;
}

}  // namespace

PipelineTime pipeline_time(const PipelineShape& shape, std::span<const RankTimes> ranks) {
  PipelineTime time;
  const double stages = static_cast<double>(ranks.size());
  if (shape.schedule == Schedule::dualpipe && ranks.size() > 1) {
    time = dualpipe(shape, ranks);
  } else {
    const std::size_t slowest = slowest_rank(ranks);
    time.busy = shape.micro_batches * (ranks[slowest].forward + ranks[slowest].backward);
    time.bubble = fill_and_drain(shape, ranks, slowest);
  }
  if (ranks.size() > 1) {
    const double sends = 2 * shape.micro_batches * static_cast<double>(shape.chunks);
    time.p2p = (sends * (1 - shape.p2p_overlap) + 2 * (stages - 1)) * shape.p2p;
  }
  time.total = time.busy + time.bubble + time.p2p;
  return time;
}

double in_flight(Schedule schedule, long ranks, long chunks, double micro_batches, long rank) {
  const double p = static_cast<double>(ranks), r = static_cast<double>(rank);
  const double v = static_cast<double>(chunks);
  switch (schedule) {
    case Schedule::gpipe: return micro_batches;
    case Schedule::interleaved:
      return std::min(micro_batches * v, p * (v - 1) + 2 * (p - r) - 1) / v;
    case Schedule::dualpipe: return std::min(micro_batches, p + 1);
    case Schedule::zb_h1: return std::min(micro_batches, p);  // weight gradients are put off
    case Schedule::one_f_one_b: return std::min(micro_batches, p - r);
  }
  return micro_batches;
}

}  // namespace jevons::sim
