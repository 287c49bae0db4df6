#include "event_train_graph.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>
#include <array>

namespace jevons::sim {

StepGraph::StepGraph(const TrainingPlan& plan, const EventOptions& options)
    : program(make_program(plan.schedule, plan.ranks, plan.chunks, plan.micro_batches)),
      plan_(plan),
      options_(options) {
  const auto ranks = static_cast<std::size_t>(plan.ranks * options.replicas);
  if (plan.stages.size() != static_cast<std::size_t>(program.stages) ||
      (!options.slowdown.empty() && options.slowdown.size() != ranks)) {
    throw Error(ErrorKind::internal, "training plan",
                "it needs a stage per rank and chunk, and a slowdown per simulated rank or none");
  }
  spans.resize(ranks);
  buckets_.resize(ranks);
  reduced.resize(ranks);
  updated.resize(ranks);
  add_streams();
  const auto keys = static_cast<std::size_t>(program.stages * program.lanes * plan.micro_batches);
  const auto pipeline = static_cast<std::uint32_t>(plan.ranks);
  for (std::uint32_t first = 0; first < ranks; first += pipeline) {
    forward_.assign(keys, {});
    backward_.assign(keys, {});
    offloads_.assign(keys, kNone);
    for (std::uint32_t place = 0; place < pipeline; ++place) {
      add_rank(first + place);
    }
    add_sends(first);
  }
  add_meetings();
  add_reduces();
  add_optimizer();
}

// Two ports a rank, inside and out of the scale-up domain. A transfer's "bytes" are the seconds
// that it takes alone, so that every port moves one a second.
void StepGraph::add_streams() {
  for (std::size_t rank = 0; rank < spans.size(); ++rank) {
    graph.add_link(Bandwidth(1));
    graph.add_link(Bandwidth(1));
  }
  for (std::size_t rank = 0; rank < spans.size(); ++rank) {
    const bool coupled = plan_.held_units > 0 && !plan_.held_throughout;
    const auto device = coupled ? graph.add_device(plan_.compute_units) : kNone;
    for (int track = 0; track < static_cast<int>(Track::count); ++track) {
      const bool compute = static_cast<Track>(track) == Track::compute;
      const bool queued = static_cast<Track>(track) >= Track::send_down;
      graph.add_stream(queued ? StreamOrder::as_ready : StreamOrder::as_added,
                       compute ? device : kNone);
    }
  }
}

std::size_t StepGraph::holder(Work work) const {
  return work.stage * static_cast<std::size_t>(program.lanes) + work.lane;
}

std::size_t StepGraph::key(Work work) const {
  return holder(work) * static_cast<std::size_t>(program.micro_batches) + work.micro_batch;
}

StreamId StepGraph::stream(std::uint32_t rank, Track track) const {
  return rank * static_cast<std::uint32_t>(Track::count) + static_cast<std::uint32_t>(track);
}

bool StepGraph::crosses(Work work, bool forward) const {
  const long next = work.stage + (forward ? 1 : -1);
  return next >= 0 && next < program.stages &&
         program.rank_of(work.lane, next) != program.rank_of(work.lane, work.stage);
}

std::vector<Work> StepGraph::held_by(std::uint32_t rank) const {
  std::vector<Work> out;
  for (long lane = 0; lane < program.lanes; ++lane) {
    for (long s = 0; s < program.stages; ++s) {
      if (program.rank_of(lane, s) == rank % plan_.ranks) {
        out.push_back({static_cast<std::uint16_t>(lane), static_cast<std::uint16_t>(s), 0});
      }
    }
  }
  return out;
}

TaskId StepGraph::add(TaskKind kind, Track track, Work work, std::size_t piece, double seconds) {
  const auto link = port(kind);
  const auto task =
      link == kNone || seconds == 0
          ? graph.add_task(stream(rank_, track), Seconds(seconds))
          : graph.add_transfer(stream(rank_, track), Bytes(seconds), std::array{link});
  labels.push_back({kind, track, static_cast<std::uint16_t>(piece), rank_, work, kNone});
  activity.push_back({});
  return task;
}

LinkId StepGraph::port(TaskKind kind) const {
  const auto through = [this](bool out) { return 2 * rank_ + (out ? 1U : 0U); };
  switch (kind) {
    case TaskKind::tensor_comm: return through(plan_.crosses.tensor);
    case TaskKind::expert_comm: return through(plan_.crosses.expert);
    case TaskKind::send: return through(plan_.crosses.send);
    case TaskKind::shard_comm:
    case TaskKind::gradient_reduce:
    case TaskKind::parameter_gather: return through(plan_.crosses.data);
    default: return kNone;
  }
}

void StepGraph::wait(TaskId task, TaskId before) {
  if (before != kNone) {
    graph.add_dependency(before, task);
  }
}

void StepGraph::add_rank(std::uint32_t rank) {
  rank_ = rank;
  slowdown_ = options_.slowdown.empty() ? 1.0 : options_.slowdown[rank];
  last_ = gate_ = kNone;
  offloading_.assign(static_cast<std::size_t>(program.stages * program.lanes), kNone);
  add_gather();
  const auto& slots = program.by_rank[rank % static_cast<std::uint32_t>(plan_.ranks)];
  spans[rank].reserve(slots.size());
  for (const auto& slot : slots) {
    add_slot(slot);
  }
}

// The exposed share comes before everything; the rest a layer at a time, in the order of need.
void StepGraph::add_gather() {
  gathers_.assign(static_cast<std::size_t>(program.stages * program.lanes), {});
  const auto held = held_by(rank_);
  double all = 0;
  for (const auto& work : held) {
    all += stage(work).parameter_gather.raw();
  }
  if (all == 0) {
    return;
  }
  const auto before =
      add(TaskKind::parameter_gather, Track::data, {}, 0, all * (1 - plan_.gather_overlap));
  gate_ = before;
  for (const auto& work : held) {
    const double seconds = stage(work).parameter_gather.raw() * plan_.gather_overlap;
    const auto& pieces = stage(work).pieces;
    for (std::size_t piece = 0; piece < pieces.size(); ++piece) {
      for (long i = 0; i < pieces[piece].repeat; ++i) {
        gathers_[holder(work)].push_back(add(TaskKind::parameter_gather, Track::data, work, piece,
                                             seconds * share(work, piece)));
        wait(gathers_[holder(work)].back(), before);
      }
    }
  }
}

// Of one of the pieces in the stage's gradient reduce and parameter gather.
double StepGraph::share(Work work, std::size_t piece) const {
  double parameters = 0, pieces = 0;
  for (const auto& each : stage(work).pieces) {
    parameters += static_cast<double>(each.repeat) * each.parameters;
    pieces += static_cast<double>(each.repeat);
  }
  return parameters > 0 ? stage(work).pieces[piece].parameters / parameters : 1 / pieces;
}

void StepGraph::add_sends(std::uint32_t first_rank) {
  for (std::size_t lane = 0; lane < static_cast<std::size_t>(program.lanes); ++lane) {
    for (long s = 0; s < program.stages; ++s) {
      for (long m = 0; m < program.micro_batches; ++m) {
        if (program.lane_of(m) != static_cast<long>(lane)) {
          continue;
        }
        const Work here{static_cast<std::uint16_t>(lane), static_cast<std::uint16_t>(s),
                        static_cast<std::uint32_t>(m)};
        Work below = here;
        ++below.stage;
        if (s + 1 < program.stages) {
          connect(forward_[key(here)], forward_[key(below)], here, true, first_rank);
          connect(backward_[key(below)], backward_[key(here)], below, false, first_rank);
        }
      }
    }
  }
}

void StepGraph::connect(Ends from, Ends to, Work work, bool forward, std::uint32_t first_rank) {
  if (!crosses(work, forward) || plan_.p2p.raw() == 0) {
    wait(to.enter, from.leave);
    return;
  }
  rank_ = labels[from.leave].rank;
  const long next = work.stage + (forward ? 1 : -1);
  const auto to_rank = first_rank + static_cast<std::uint32_t>(program.rank_of(work.lane, next));
  const bool down = to_rank > rank_;
  const auto send =
      add(TaskKind::send, down ? Track::send_down : Track::send_up, work, 0, plan_.p2p.raw());
  labels.back().to_rank = to_rank;
  wait(send, from.leave);
  wait(to.enter, send);
}

// In the order in which they were first reached, so that the same input gives the same graph.
void StepGraph::add_meetings() {
  std::vector<const std::vector<Meeting>*> sorted;
  for (const auto& [where, meeting] : meetings_) {
    sorted.push_back(&meeting);
  }
  std::sort(sorted.begin(), sorted.end(),
            [](const auto* a, const auto* b) { return a->front().leave < b->front().leave; });
  for (const auto* meeting : sorted) {
    const auto together = graph.add_task(kNone, Seconds(0));
    labels.push_back(
        {TaskKind::meet, Track::expert, 0, labels[meeting->front().leave].rank, {}, kNone});
    activity.push_back({});
    for (const auto& each : *meeting) {
      wait(together, each.done);
      wait(each.leave, together);
    }
  }
}

// Replicas of a rank reduce together, bucket by bucket; what nothing hides comes at the end.
void StepGraph::add_reduces() {
  for (std::uint32_t place = 0; place < static_cast<std::uint32_t>(plan_.ranks); ++place) {
    double all = 0;
    for (const auto& work : held_by(place)) {
      all += stage(work).gradient_reduce.raw();
    }
    for (auto rank = place; rank < spans.size(); rank += static_cast<std::uint32_t>(plan_.ranks)) {
      buckets_[rank].push_back({spans[rank].back().last, all * (1 - plan_.dp_overlap), {}, 0});
    }
    for (std::size_t bucket = 0; bucket < buckets_[place].size(); ++bucket) {
      add_reduce(place, bucket);
    }
  }
}

void StepGraph::add_reduce(std::uint32_t place, std::size_t bucket) {
  const auto pipeline = static_cast<std::uint32_t>(plan_.ranks);
  TaskId together = buckets_[place][bucket].ready;
  if (options_.replicas > 1) {
    together = graph.add_task(kNone, Seconds(0));
    labels.push_back({TaskKind::meet, Track::data, 0, place, {}, kNone});
    activity.push_back({});
    for (auto rank = place; rank < spans.size(); rank += pipeline) {
      wait(together, buckets_[rank][bucket].ready);
    }
  }
  for (rank_ = place; rank_ < spans.size(); rank_ += pipeline) {
    const auto& mine = buckets_[rank_][bucket];
    reduced[rank_] =
        add(TaskKind::gradient_reduce, Track::data, mine.work, mine.piece, mine.seconds);
    wait(reduced[rank_], together);
  }
}

void StepGraph::add_optimizer() {
  rank_ = 0;
  const auto meet = graph.add_task(kNone, Seconds(0));
  labels.push_back({TaskKind::meet, Track::data, 0, 0, {}, kNone});
  activity.push_back({});
  for (std::uint32_t rank = 0; rank < spans.size(); ++rank) {
    wait(meet, reduced[rank]);
  }
  for (rank_ = 0; rank_ < spans.size(); ++rank_) {
    double seconds = 0;
    for (const auto& work : held_by(rank_)) {
      // The two copies of a DualPipe stage share its update.
      seconds += work.lane == 0 ? stage(work).optimizer_step.raw() : 0.0;
    }
    updated[rank_] = add(TaskKind::optimizer, Track::compute, {}, 0, seconds);
    wait(updated[rank_], meet);
  }
}

}  // namespace jevons::sim
