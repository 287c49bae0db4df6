#include "jevons/sim/timeline.hpp"

#include <unordered_map>

namespace jevons::sim {
namespace {

bool is_backward(TaskKind kind) {
  return kind == TaskKind::backward_input || kind == TaskKind::backward_weight ||
         kind == TaskKind::recompute;
}

class TraceBuilder {
 public:
  TraceBuilder(const TrainingPlan& plan, const TrainingTimeline& played)
      : plan_(plan), played_(played) {}

  Trace build() {
    for (std::size_t rank = 0; rank < played_.ranks.size(); ++rank) {
      Trace::Process process{"rank " + std::to_string(rank), {}};
      for (int track = 0; track < static_cast<int>(Track::count); ++track) {
        process.tracks.emplace_back(to_string(static_cast<Track>(track)));
      }
      trace_.processes.push_back(std::move(process));
    }
    for (TaskId task = 0; task < played_.labels.size(); ++task) {
      add_slice(task);
    }
    for (TaskId task = 0; task < played_.labels.size(); ++task) {
      if (played_.labels[task].to_rank != kNone) {
        add_flow(task);
      }
    }
    return std::move(trace_);
  }

 private:
  // Arrivals are looked up by what the receiver does with them.
  [[nodiscard]] std::uint64_t key(bool backward, std::uint64_t lane, std::uint64_t stage,
                                  std::uint64_t micro_batch) const {
    return ((lane * 65536U + stage) << 32U | micro_batch) * 2U + (backward ? 1U : 0U);
  }

  [[nodiscard]] std::string name_of(const TaskLabel& label) const {
    const bool in_stage = label.kind <= TaskKind::shard_comm || label.kind == TaskKind::host;
    std::string name(to_string(label.kind));
    if (in_stage || label.kind == TaskKind::send) {
      name += " " + std::to_string(label.work.micro_batch);
    }
    const auto& pieces = plan_.stages[label.work.stage].pieces;
    if (in_stage && label.piece < pieces.size() && !pieces[label.piece].name.empty()) {
      name += " " + pieces[label.piece].name;
    }
    return name;
  }

  void add_slice(TaskId task) {
    const auto& label = played_.labels[task];
    const double start = played_.timeline.start_s[task], end = played_.timeline.end_s[task];
    if (end <= start) {
      return;
    }
    if (label.kind == TaskKind::forward || is_backward(label.kind)) {
      arrivals_.try_emplace(key(label.kind != TaskKind::forward, label.work.lane, label.work.stage,
                                label.work.micro_batch),
                            task);
    }
    Trace::Slice slice{label.rank,     static_cast<std::uint32_t>(label.track), start, end,
                       name_of(label), std::string(to_string(label.kind)),      {}};
    const auto& activity = played_.activity[task];
    slice.arguments = {{"micro_batch", static_cast<double>(label.work.micro_batch)},
                       {"stage", static_cast<double>(label.work.stage)}};
    if (activity.flops > 0) {
      slice.arguments.push_back({"flops", activity.flops});
      slice.arguments.push_back({"hbm_bytes", activity.hbm_bytes});
    }
    trace_.slices.push_back(std::move(slice));
  }

  void add_flow(TaskId task) {
    const auto& label = played_.labels[task];
    const long here = plan_.ranks == 0 ? 0 : label.work.stage;
    // A send of a forward goes to the next stage along the model, of a backward to the one before.
    for (const bool backward : {false, true}) {
      const long next = here + (backward ? -1 : 1);
      if (next < 0) {
        continue;
      }
      const auto found = arrivals_.find(
          key(backward, label.work.lane, static_cast<std::uint64_t>(next), label.work.micro_batch));
      if (found == arrivals_.end() || played_.labels[found->second].rank != label.to_rank ||
          played_.timeline.start_s[found->second] < played_.timeline.end_s[task] - 1e-12) {
        continue;
      }
      trace_.flows.push_back({label.rank, static_cast<std::uint32_t>(label.track), label.to_rank,
                              static_cast<std::uint32_t>(Track::compute),
                              played_.timeline.start_s[task],
                              played_.timeline.start_s[found->second], "send"});
      return;
    }
  }

  const TrainingPlan& plan_;
  const TrainingTimeline& played_;
  Trace trace_;
  std::unordered_map<std::uint64_t, TaskId> arrivals_;  // looked up only, never walked
};

void add_counters(const Scenario& scenario, const TrainingTimeline& played, Trace& trace) {
  const auto watts = chip_power_over_time(scenario, played);
  for (std::uint32_t rank = 0; rank < played.ranks.size(); ++rank) {
    trace.counters.push_back({rank, "memory_bytes", played.memory[rank]});
    if (!watts.empty()) trace.counters.push_back({rank, "chip_power_w", watts[rank]});
  }
}

}  // namespace

Trace trace_training(const Scenario& scenario) {
  TrainingPlan plan = plan_training(scenario);
  add_memory(scenario, plan);
  EventOptions options;
  options.per_layer = true;
  const auto played = play_training(plan, options);
  Trace trace = TraceBuilder(plan, played).build();
  add_counters(scenario, played, trace);
  return trace;
}

}  // namespace jevons::sim
