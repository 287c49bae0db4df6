// The tasks of one slot of a rank's program: kernels, the communication between them, the host.
#include "event_train_graph.hpp"

#include <algorithm>
#include <array>

namespace jevons::sim {
namespace {

constexpr std::array kForward{TaskKind::forward};
constexpr std::array kBackward{TaskKind::recompute, TaskKind::backward_input,
                               TaskKind::backward_weight};
constexpr std::array kBackwardInput{TaskKind::recompute, TaskKind::backward_input};
constexpr std::array kBackwardWeight{TaskKind::backward_weight};

const PassTimes& times_of(const PieceTimes& piece, TaskKind kind) {
  switch (kind) {
    case TaskKind::forward: return piece.forward;
    case TaskKind::recompute: return piece.recompute;
    case TaskKind::backward_input: return piece.backward_input;
    default: return piece.backward_weight;
  }
}

bool reduces(std::span<const TaskKind> kinds) {
  return kinds.back() == TaskKind::backward_weight;
}

}  // namespace

StepGraph::Costs::Costs(const PassTimes& times, double slowdown, double load, bool in_pair)
    : compute((times.compute - (1 - load) * times.experts).raw() * slowdown),
      tensor_hidden((times.tp.hidden + times.cp.hidden).raw()),
      expert_hidden(in_pair ? 0.0 : times.ep.hidden.raw()),
      shard_hidden(times.dp.hidden.raw()),
      tensor((times.tp.exposed + times.cp.exposed).raw()),
      expert(in_pair ? 0.0 : times.ep.exposed.raw()),
      shard(times.dp.exposed.raw()),
      host_floor(times.host.raw()),
      activity{times.flops.raw(), times.hbm.raw()} {
  overflow = std::max(0.0, tensor_hidden + expert_hidden + shard_hidden - compute);
}

void StepGraph::Costs::add(const Costs& other, double times) {
  compute += times * other.compute;
  overflow += times * other.overflow;
  tensor += times * other.tensor;
  expert += times * other.expert;
  shard += times * other.shard;
  host_floor += times * other.host_floor;
  activity.flops += times * other.activity.flops;
  activity.hbm_bytes += times * other.activity.hbm_bytes;
}

bool StepGraph::first_of_lane(Work work) const {
  return static_cast<long>(work.micro_batch) * program.lanes == work.lane * program.micro_batches;
}

bool StepGraph::last_of_lane(Work work) const {
  return (static_cast<long>(work.micro_batch) + 1) * program.lanes ==
         (work.lane + 1) * program.micro_batches;
}

// Gathers and reduces go layer by layer, so the passes they meet do too, at either resolution.
bool StepGraph::detailed(TaskKind kind, Work work) const {
  return options_.per_layer ||
         (kind == TaskKind::forward ? first_of_lane(work) : last_of_lane(work));
}

// In a pair kernels may be launched on the units that communication leaves, throughout.
double StepGraph::slowdown(bool in_pair) const {
  const bool fewer_units = in_pair && plan_.held_throughout;
  return slowdown_ *
         (fewer_units ? plan_.compute_units / (plan_.compute_units - plan_.held_units) : 1.0);
}

void StepGraph::add_slot(const Slot& slot) {
  span_ = {};
  load_ = expert_load(slot);
  switch (slot.pass) {
    case Pass::forward: {
      wait_for_offload(slot.work);
      const auto start = last_;
      compute(TaskKind::host, slot.work, 0,
              plan_.host_per_micro_batch.raw() / static_cast<double>(plan_.chunks));
      add_work(slot.work, kForward, false);
      join();
      offload(slot.work, start);
      forward_[key(slot.work)] = {span_.first, last_};
      block_on_send(slot.work, true);
      break;
    }
    case Pass::backward:
    case Pass::backward_input: {
      const bool whole = slot.pass == Pass::backward;
      add_work(slot.work, whole ? std::span<const TaskKind>(kBackward) : kBackwardInput, false);
      reload(slot.work);
      join();
      backward_[key(slot.work)] = {span_.first, last_};
      block_on_send(slot.work, false);
      break;
    }
    case Pass::backward_weight: add_work(slot.work, kBackwardWeight, false); break;
    case Pass::pair: add_pair(slot); break;
  }
  join();
  meet_experts(slot);
  span_.last = last_;
  spans[rank_].push_back(span_);
}

// Which rank of the group has the most tokens is drawn from a hash, so that all replicas agree on
// it without being built in step.
double StepGraph::expert_load(const Slot& slot) const {
  const auto& experts = options_.experts;
  if (experts.max_over_mean <= 1 || experts.ranks <= 1) {
    return 1;
  }
  const auto group = replica() / static_cast<std::uint32_t>(experts.replicas);
  std::uint64_t hash = (key(slot.work) * 8 + static_cast<std::uint64_t>(slot.pass)) ^
                       (static_cast<std::uint64_t>(group) << 40U) ^ (experts.seed << 52U);
  hash = (hash ^ (hash >> 30U)) * 0xbf58476d1ce4e5b9U;  // splitmix64
  hash = (hash ^ (hash >> 27U)) * 0x94d049bb133111ebU;
  hash ^= hash >> 31U;
  const auto ranks = static_cast<std::uint64_t>(experts.ranks);
  const auto place = replica() % static_cast<std::uint32_t>(experts.replicas);
  const bool hot = hash % ranks * static_cast<std::uint64_t>(experts.replicas) / ranks == place;
  const double n = static_cast<double>(experts.ranks);
  return hot ? 1.0 : (n / experts.max_over_mean - 1) / (n - 1);
}

// The slot ends when the whole group has got there: its last all-to-all.
void StepGraph::meet_experts(const Slot& slot) {
  if (options_.experts.replicas <= 1 || options_.replicas <= 1 ||
      slot.pass == Pass::backward_weight) {  // weight gradients exchange nothing
    return;
  }
  const auto done = last_;
  compute(TaskKind::meet, slot.work, 0, 0.0);
  const auto group = replica() / static_cast<std::uint32_t>(options_.experts.replicas);
  const std::uint64_t where = (key(slot.work) * 8 + static_cast<std::uint64_t>(slot.pass)) |
                              (static_cast<std::uint64_t>(group) << 44U);
  meetings_[where].push_back({done, last_});
}

// All pieces of a stage: along the model, or against it in a backward.
void StepGraph::add_work(Work work, std::span<const TaskKind> kinds, bool in_pair) {
  const auto& pieces = stage(work).pieces;
  const bool forward = kinds[0] == TaskKind::forward;
  if (detailed(kinds[0], work)) {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      add_piece(work, forward ? i : pieces.size() - 1 - i, kinds, in_pair);
    }
    return;
  }
  for (const auto kind : kinds) {  // coarse: a whole pass is one task
    Costs sum;
    for (const auto& piece : pieces) {
      sum.add(costs(times_of(piece, kind), in_pair), static_cast<double>(piece.repeat));
    }
    emit(kind, work, 0, sum);
  }
  double host = 0;
  for (const auto& piece : pieces) {
    host += static_cast<double>(piece.repeat) * host_excess(piece, kinds, in_pair);
  }
  compute(TaskKind::host, work, 0, host);
}

// What the host takes longer to launch the passes of a piece than the chip to run them. A pair is
// compared as a whole (add_pair).
double StepGraph::host_excess(const PieceTimes& piece, std::span<const TaskKind> kinds,
                              bool in_pair) const {
  Costs all;
  for (const auto kind : kinds) {
    all.add(costs(times_of(piece, kind), in_pair), 1.0);
  }
  return in_pair ? 0.0 : std::max(0.0, all.host_floor - all.device());
}

void StepGraph::add_piece(Work work, std::size_t piece, std::span<const TaskKind> kinds,
                          bool in_pair) {
  const auto& pieces = stage(work).pieces;
  const auto& times = pieces[piece];
  const auto& gathers = gathers_[holder(work)];
  const bool gather = kinds[0] == TaskKind::forward && first_of_lane(work) && !gathers.empty();
  const bool reduce = reduces(kinds) && last_of_lane(work) &&
                      stage(work).gradient_reduce.raw() * plan_.dp_overlap > 0;
  // Layer by layer where each waits for its parameters or sets off its gradients.
  const bool split = options_.per_layer || gather || reduce;
  const long tasks = split ? times.repeat : 1;
  const auto each = static_cast<double>(split ? 1 : times.repeat);
  const double host = each * host_excess(times, kinds, in_pair);
  std::size_t first = 0;
  for (std::size_t i = 0; i < piece; ++i) first += static_cast<std::size_t>(pieces[i].repeat);
  for (long i = 0; i < tasks; ++i) {
    if (gather) {
      compute(TaskKind::meet, work, piece, 0.0);
      wait(last_, gathers[first + static_cast<std::size_t>(i)]);
    }
    for (const auto kind : kinds) {
      const Costs one = costs(times_of(times, kind), in_pair);
      Costs all;
      all.add(one, each);
      emit(kind, work, piece, options_.per_layer ? one : all);
    }
    compute(TaskKind::host, work, piece, host);
    if (reduce) add_bucket(work, piece);
  }
}

void StepGraph::add_bucket(Work work, std::size_t piece) {
  join();
  const double seconds = stage(work).gradient_reduce.raw() * plan_.dp_overlap;
  buckets_[rank_].push_back({last_, seconds * share(work, piece), work, piece});
}

// A task on the compute stream; it waits for the communication before it.
void StepGraph::compute(TaskKind kind, Work work, std::size_t piece, double seconds) {
  if (seconds == 0 && kind == TaskKind::host) {
    return;
  }
  const auto task = add(kind, Track::compute, work, piece, seconds);
  wait(task, gate_);
  gate_ = kNone;
  last_ = task;
  span_.first = span_.first == kNone ? task : span_.first;
  (kind == TaskKind::host ? span_.host_s : span_.compute_s) += seconds;
}

// Communication after the compute task before, which the next one waits for.
void StepGraph::block(TaskKind kind, Track track, Work work, std::size_t piece, double seconds) {
  if (seconds == 0) {
    return;
  }
  const auto task = add(kind, track, work, piece, seconds);
  wait(task, last_);
  wait(task, gate_);
  gate_ = task;
}

// Makes the compute stream's last task come after all communication so far; a slot without any
// work gets a task of no length.
void StepGraph::join() {
  if (gate_ != kNone || span_.first == kNone) {
    compute(TaskKind::meet, gate_ == kNone ? Work{} : labels[gate_].work, 0, 0.0);
  }
}

void StepGraph::emit(TaskKind kind, Work work, std::size_t piece, const Costs& costs) {
  if (costs.device() == 0) {
    return;
  }
  const double hidden = costs.tensor_hidden + costs.expert_hidden + costs.shard_hidden;
  const bool beside = options_.per_layer && hidden > 0;
  if (beside) {
    join();
    if (span_.first == kNone) {  // so that both start when the inputs are there
      compute(TaskKind::meet, work, piece, 0.0);
    }
  }
  const auto start = last_;
  compute(kind, work, piece, costs.compute);
  activity.back() = costs.activity;
  if (beside) {
    run_beside(start, work, piece, costs);
  } else {
    block(TaskKind::tensor_comm, Track::tensor, work, piece, costs.overflow);
  }
  block(TaskKind::tensor_comm, Track::tensor, work, piece, costs.tensor);
  block(TaskKind::expert_comm, Track::expert, work, piece, costs.expert);
  block(TaskKind::shard_comm, Track::shard, work, piece, costs.shard);
}

// Hidden communication, one kind after the other, from `start` on.
void StepGraph::run_beside(TaskId start, Work work, std::size_t piece, const Costs& costs) {
  TaskId before = start;
  const auto next = [&](TaskKind kind, Track track, double seconds) {
    if (seconds > 0) {
      const auto task = add(kind, track, work, piece, seconds);
      wait(task, before);
      before = task;
    }
  };
  next(TaskKind::tensor_comm, Track::tensor, costs.tensor_hidden);
  next(TaskKind::expert_comm, Track::expert, costs.expert_hidden);
  next(TaskKind::shard_comm, Track::shard, costs.shard_hidden);
  gate_ = before;
}

double StepGraph::exchange_s(Work work, std::span<const TaskKind> kinds) const {
  double sum = 0;
  for (const auto& piece : stage(work).pieces) {
    for (const auto kind : kinds) {
      const auto& ep = times_of(piece, kind).ep;
      sum += static_cast<double>(piece.repeat) * (ep.exposed + ep.hidden).raw();
    }
  }
  return sum;
}

void StepGraph::add_pair(const Slot& slot) {
  wait_for_offload(slot.work);
  compute(TaskKind::meet, slot.work, 0, 0.0);
  const auto start = last_;
  compute(TaskKind::host, slot.work, 0,
          plan_.host_per_micro_batch.raw() / static_cast<double>(plan_.chunks));
  add_pair_pieces(slot);
  Costs both;
  for (const auto& [work, kinds] :
       {std::pair(slot.work, std::span<const TaskKind>(kForward)),
        std::pair(slot.backward, std::span<const TaskKind>(kBackward))}) {
    for (const auto& piece : stage(work).pieces) {
      for (const auto kind : kinds) {
        both.add(costs(times_of(piece, kind), true), static_cast<double>(piece.repeat));
      }
    }
  }
  const double kernels = both.device();
  const double exchange = exchange_s(slot.work, kForward) + exchange_s(slot.backward, kBackward);
  const double exposed = (1 - plan_.pair_overlap) * std::min(kernels, exchange);
  // Where the exchange is longer, compute is what partly fails to hide.
  add_exchange(slot, kernels < exchange ? exchange : exchange - exposed, start);
  block(TaskKind::expert_comm, Track::expert, slot.work, 0, exposed);
  compute(TaskKind::host, slot.work, 0,
          std::max(0.0, both.host_floor - std::max(kernels, exchange) - exposed));
  reload(slot.backward);
  join();
  offload(slot.work, start);
  forward_[key(slot.work)] = {start, last_};
  backward_[key(slot.backward)] = {start, last_};
  block_on_send(slot.work, true);
  block_on_send(slot.backward, false);
}

// Forward and backward kernels in turn.
void StepGraph::add_pair_pieces(const Slot& slot) {
  const auto down = stage(slot.work).pieces.size(), up = stage(slot.backward).pieces.size();
  if (!detailed(TaskKind::forward, slot.work) &&
      !detailed(TaskKind::backward_input, slot.backward)) {
    add_work(slot.work, kForward, true);
    add_work(slot.backward, kBackward, true);
    return;
  }
  for (std::size_t i = 0; i < std::max(down, up); ++i) {
    if (i < down) {
      add_piece(slot.work, i, kForward, true);
    }
    if (i < up) {
      add_piece(slot.backward, up - 1 - i, kBackward, true);
    }
  }
}

// The all-to-all that kernels hide: it holds units while it runs.
void StepGraph::add_exchange(const Slot& slot, double hidden, TaskId start) {
  if (hidden <= 0) {
    return;
  }
  const std::size_t parts =
      options_.per_layer ? stage(slot.work).pieces.size() + stage(slot.backward).pieces.size() : 1;
  TaskId last = kNone;
  for (std::size_t i = 0; i < parts; ++i) {
    last = add(TaskKind::expert_comm, Track::expert, i % 2 == 0 ? slot.work : slot.backward, i / 2,
               hidden / static_cast<double>(parts));
    wait(last, start);
    if (plan_.held_units > 0 && !plan_.held_throughout) {
      graph.hold_units(last, rank_, plan_.held_units);
    }
  }
  join();
  gate_ = last;
}

// The buffer of the copy before is still in use.
void StepGraph::wait_for_offload(Work work) {
  const auto before = offloading_[holder(work)];
  if (before != kNone) {
    compute(TaskKind::meet, work, 0, 0.0);
    wait(last_, before);
  }
}

void StepGraph::offload(Work work, TaskId start) {
  const double seconds = stage(work).offload.raw();
  if (seconds == 0) {
    return;
  }
  const auto task = add(TaskKind::offload, Track::to_host, work, 0, seconds);
  wait(task, start);
  offloading_[holder(work)] = offloads_[key(work)] = task;
}

void StepGraph::reload(Work work) {
  const double seconds = stage(work).offload.raw();
  if (seconds == 0) {
    return;
  }
  join();
  const auto task = add(TaskKind::reload, Track::from_host, work, 0, seconds);
  wait(task, offloads_[key(work)]);
  if (!spans[rank_].empty()) {
    wait(task, spans[rank_].back().first);
  }
  gate_ = task;
}

void StepGraph::block_on_send(Work work, bool forward) {
  if (crosses(work, forward)) {
    const double seconds = (1 - plan_.p2p_overlap) * plan_.p2p.raw();
    if (seconds > 0) {
      compute(TaskKind::send, work, 0, seconds);
      span_.compute_s -= seconds;
      span_.send_s += seconds;
    }
  }
}

}  // namespace jevons::sim
