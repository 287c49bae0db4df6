#include "jevons/sim/event_train.hpp"

#include "event_train_graph.hpp"

#include <algorithm>

namespace jevons::sim {
namespace {

RankSeconds seconds_of(const StepGraph& step, const Timeline& timeline, std::size_t rank,
                       double whole) {
  RankSeconds out;
  double passes = 0;
  for (const auto& span : step.spans[rank]) {
    out.compute += span.compute_s;
    out.host += span.host_s;
    out.sends += span.send_s;
    passes += timeline.end_s[span.last] - timeline.start_s[span.first];
  }
  out.exposed_comm = passes - out.compute - out.host - out.sends;
  out.data_parallel =
      timeline.end_s[step.reduced[rank]] - timeline.end_s[step.spans[rank].back().last];
  // What the first pass waits for is either its parameters or another rank.
  const auto first = step.spans[rank].front().first;
  const auto before = timeline.held_up_by[first];
  if (before != kNone && step.labels[before].kind == TaskKind::parameter_gather) {
    out.data_parallel += timeline.start_s[first];
  }
  const auto updated = step.updated[rank];
  out.optimizer = timeline.end_s[updated] - timeline.start_s[updated];
  out.bubble = whole - out.compute - out.host - out.exposed_comm - out.sends - out.data_parallel -
               out.optimizer;
  return out;
}

std::array<PassSeconds, 5> passes_of(const StepGraph& step, const Timeline& timeline,
                                     std::size_t rank) {
  std::array<PassSeconds, 5> out{};
  const auto& slots = step.program.by_rank[rank % static_cast<std::size_t>(step.program.ranks)];
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const auto& span = step.spans[rank][i];
    auto& pass = out[static_cast<std::size_t>(slots[i].pass)];
    ++pass.count;
    pass.seconds += timeline.end_s[span.last] - timeline.start_s[span.first];
  }
  return out;
}

// Activations come with a forward and go with the weight gradient.
std::vector<Sample> memory_of(const StepGraph& step, const TrainingPlan& plan,
                              const Timeline& timeline, std::size_t rank) {
  const auto place = rank % static_cast<std::size_t>(plan.ranks);
  double bytes = plan.rank_buffers.raw();
  for (long lane = 0; lane < step.program.lanes; ++lane) {
    for (long s = 0; s < step.program.stages; ++s) {
      if (step.program.rank_of(lane, s) == static_cast<long>(place)) {
        bytes += plan.stages[static_cast<std::size_t>(s)].resident.raw();
      }
    }
  }
  std::vector<Sample> out{{0.0, bytes}};
  const auto& slots = step.program.by_rank[place];
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const auto& slot = slots[i];
    const auto& span = step.spans[rank][i];
    if (slot.pass == Pass::forward || slot.pass == Pass::pair) {
      bytes += plan.stages[slot.work.stage].kept.raw();
      out.push_back({timeline.start_s[span.first], bytes});
    }
    if (slot.pass != Pass::forward && slot.pass != Pass::backward_input) {
      const auto& freed = slot.pass == Pass::pair ? slot.backward : slot.work;
      bytes -= plan.stages[freed.stage].kept.raw();
      out.push_back({timeline.end_s[span.last], bytes});
    }
  }
  for (auto& sample : out) sample.value *= plan.memory_factor;
  return out;
}

}  // namespace

std::string_view to_string(TaskKind kind) {
  switch (kind) {
    case TaskKind::forward: return "forward";
    case TaskKind::backward_input: return "backward input";
    case TaskKind::backward_weight: return "backward weight";
    case TaskKind::recompute: return "recompute";
    case TaskKind::tensor_comm: return "tensor and context parallel";
    case TaskKind::expert_comm: return "expert parallel";
    case TaskKind::shard_comm: return "sharded parameters";
    case TaskKind::send: return "send";
    case TaskKind::host: return "host";
    case TaskKind::gradient_reduce: return "gradient reduce";
    case TaskKind::parameter_gather: return "parameter gather";
    case TaskKind::offload: return "offload";
    case TaskKind::reload: return "reload";
    case TaskKind::optimizer: return "optimizer";
    case TaskKind::meet: return "meet";
    case TaskKind::count: break;
  }
  return "";
}

std::string_view to_string(Track track) {
  switch (track) {
    case Track::compute: return "compute";
    case Track::tensor: return "tensor and context parallel";
    case Track::expert: return "expert parallel";
    case Track::shard: return "sharded parameters";
    case Track::to_host: return "to host";
    case Track::from_host: return "from host";
    case Track::send_down: return "send down";
    case Track::send_up: return "send up";
    case Track::data: return "data parallel";
    case Track::count: break;
  }
  return "";
}

std::size_t TrainingTimeline::slowest_rank() const {
  const auto used = [](const RankSeconds& rank) {
    return rank.compute + rank.host + rank.exposed_comm + rank.sends;
  };
  const auto slowest = std::max_element(
      ranks.begin(), ranks.end(), [&](const auto& a, const auto& b) { return used(a) < used(b); });
  return static_cast<std::size_t>(slowest - ranks.begin());
}

TrainingTimeline play_training(const TrainingPlan& plan, const EventOptions& options) {
  StepGraph step(plan, options);
  Engine engine(step.graph);
  TrainingTimeline out;
  out.timeline = engine.play();
  out.host_per_step_s = plan.host_per_step.raw();
  for (std::size_t rank = 0; rank < step.spans.size(); ++rank) {
    out.ranks.push_back(seconds_of(step, out.timeline, rank, out.timeline.makespan_s));
    out.passes.push_back(passes_of(step, out.timeline, rank));
    out.memory.push_back(memory_of(step, plan, out.timeline, rank));
    const auto& samples = out.memory.back();
    out.memory_peak_bytes.push_back(
        std::max_element(samples.begin(), samples.end(), [](const auto& a, const auto& b) {
          return a.value < b.value;
        })->value);
    out.ranks.back().host += out.host_per_step_s;
  }
  for (const auto task : out.timeline.critical_path()) {
    out.critical_s[static_cast<std::size_t>(step.labels[task].kind)] +=
        out.timeline.end_s[task] - out.timeline.start_s[task];
  }
  out.critical_s[static_cast<std::size_t>(TaskKind::host)] += out.host_per_step_s;
  out.labels = std::move(step.labels);
  out.activity = std::move(step.activity);
  return out;
}

}  // namespace jevons::sim
