#include "jevons/sim/engine.hpp"

#include "jevons/core/error.hpp"
#include "jevons/sim/engine_sharing.hpp"

#include <algorithm>
#include <queue>
#include <string>
#include <tuple>

namespace jevons::sim {
namespace {

struct Event {
  double time;
  std::uint32_t sequence, task;
};

struct Later {
  bool operator()(const Event& a, const Event& b) const {
    return a.time > b.time || (a.time == b.time && a.sequence > b.sequence);
  }
};

/// A priority queue that never grows while it plays: at its limit it throws out events that a later
/// one has replaced.
class EventQueue : public std::priority_queue<Event, std::vector<Event>, Later> {
 public:
  void reserve(std::size_t events) { c.reserve(events); }
  void clear() { c.clear(); }
  [[nodiscard]] bool full() const { return c.size() == c.capacity(); }
  template <class IsStale>
  void drop(IsStale is_stale) {
    c.erase(std::remove_if(c.begin(), c.end(), is_stale), c.end());
    std::make_heap(c.begin(), c.end(), comp);
  }
};

// What a task needs beyond "start now, end after its duration".
constexpr std::uint8_t kTransfer = 1, kSlowed = 2, kHolds = 4, kQueued = 8;
constexpr std::uint8_t kFluid = kTransfer | kSlowed;

}  // namespace

class Engine::Player {
 public:
  explicit Player(const TaskGraph& graph);
  const Timeline& play();
  std::vector<double> work_;

 private:
  void build_successors(const TaskGraph& graph);
  void build_kinds(const TaskGraph& graph);
  void reset();
  void make_ready(TaskId task, TaskId because);
  void start(TaskId task, TaskId because);
  void start_special(TaskId task);
  void push(double time, TaskId task);
  void end(TaskId task);
  void end_special(TaskId task);
  bool fluid_event(const Event& event);
  void settle(TaskId task);
  void set_rate(TaskId task, double rate);
  void change_hold(TaskId task, double sign);
  void share_links();
  void add_up();
  [[noreturn]] void report_circle() const;

  // By task. Only transfers and slowed tasks use the last four.
  std::vector<std::uint8_t> kind_;
  std::vector<std::uint32_t> indegree_, waiting_, successor_begin_;
  std::vector<TaskId> successor_;
  std::vector<StreamId> stream_;
  std::vector<double> latency_, left_, rate_, since_;
  std::vector<std::uint32_t> live_;  // sequence number of the event that counts
  std::vector<std::uint8_t> flowing_;
  // By stream: who runs, who waits (a list through next_).
  std::vector<TaskId> running_, head_, tail_, next_;
  std::vector<DeviceId> stream_device_;
  // By device.
  std::vector<double> units_, held_;
  std::vector<std::uint32_t> holders_, device_streams_begin_;
  std::vector<StreamId> device_streams_;
  std::vector<std::uint32_t> hold_begin_;
  std::vector<TaskGraph::Hold> holds_;
  std::vector<double> capacity_;
  std::vector<std::uint32_t> route_begin_;
  std::vector<LinkId> route_;

  FairSharing sharing_;
  EventQueue queue_;
  Timeline out_;
  double now_ = 0;
  std::uint32_t sequence_ = 0;
  std::size_t ended_ = 0;
};

Engine::Player::Player(const TaskGraph& graph)
    : work_(graph.work_),
      stream_(graph.stream_),
      latency_(graph.latency_),
      units_(graph.devices_),
      holds_(graph.holds_),
      capacity_(graph.links_),
      route_begin_(graph.route_begin_),
      route_(graph.route_),
      sharing_(graph.links_, graph.route_begin_, graph.route_) {
  const auto tasks = graph.tasks();
  build_successors(graph);
  build_kinds(graph);
  const bool fluid =
      std::any_of(kind_.begin(), kind_.end(), [](auto kind) { return (kind & kFluid) != 0; });
  left_.resize(fluid ? tasks : 0);
  rate_.resize(fluid ? tasks : 0);
  since_.resize(fluid ? tasks : 0);
  live_.resize(fluid ? tasks : 0);
  flowing_.resize(fluid ? tasks : 0);
  waiting_.resize(tasks);
  next_.resize(tasks);
  running_.resize(graph.streams_.size());
  head_.resize(graph.streams_.size());
  tail_.resize(graph.streams_.size());
  held_.resize(units_.size());
  holders_.resize(units_.size());
  // At most one live event per task, and as many replaced ones before they are thrown out.
  queue_.reserve(2 * tasks + 2);
  out_.start_s.resize(tasks);
  out_.end_s.resize(tasks);
  out_.held_up_by.resize(tasks);
  out_.stream_busy_s.resize(graph.streams_.size());
  out_.link_bytes.resize(capacity_.size());
  out_.link_busy_s.resize(capacity_.size());
}

void Engine::Player::build_successors(const TaskGraph& graph) {
  const auto tasks = graph.tasks();
  indegree_.assign(tasks, 0);
  successor_begin_.assign(tasks + 1, 0);
  for (std::size_t i = 0; i < graph.before_.size(); ++i) {
    ++successor_begin_[graph.before_[i] + 1];
    ++indegree_[graph.after_[i]];
  }
  for (std::size_t i = 0; i < tasks; ++i) {
    successor_begin_[i + 1] += successor_begin_[i];
  }
  successor_.resize(graph.before_.size());
  std::vector<std::uint32_t> at(successor_begin_.begin(), successor_begin_.end() - 1);
  for (std::size_t i = 0; i < graph.before_.size(); ++i) {
    successor_[at[graph.before_[i]]++] = graph.after_[i];
  }
}

void Engine::Player::build_kinds(const TaskGraph& graph) {
  const auto tasks = graph.tasks();
  kind_.assign(tasks, 0);
  for (std::size_t task = 0; task < tasks; ++task) {
    const auto stream = stream_[task];
    const bool transfer = route_begin_[task] != route_begin_[task + 1];
    const auto* of = stream == kNone ? nullptr : &graph.streams_[stream];
    const bool queued = of != nullptr && of->order == StreamOrder::as_ready;
    const bool slowed = of != nullptr && of->device != kNone && !transfer;
    kind_[task] = static_cast<std::uint8_t>((transfer ? kTransfer : 0) | (queued ? kQueued : 0) |
                                            (slowed ? kSlowed : 0));
  }
  std::sort(holds_.begin(), holds_.end(), [](const auto& a, const auto& b) {
    return std::tie(a.task, a.device, a.units) < std::tie(b.task, b.device, b.units);
  });
  hold_begin_.assign(holds_.empty() ? 0 : tasks + 1, 0);
  for (const auto& hold : holds_) {
    kind_[hold.task] |= kHolds;
    ++hold_begin_[hold.task + 1];
  }
  for (std::size_t i = 1; i < hold_begin_.size(); ++i) {
    hold_begin_[i] += hold_begin_[i - 1];
  }
  for (const auto& stream : graph.streams_) {
    stream_device_.push_back(stream.device);
  }
  device_streams_begin_.push_back(0);
  for (DeviceId device = 0; device < units_.size(); ++device) {
    for (StreamId stream = 0; stream < graph.streams_.size(); ++stream) {
      if (graph.streams_[stream].device == device) {
        device_streams_.push_back(stream);
      }
    }
    device_streams_begin_.push_back(static_cast<std::uint32_t>(device_streams_.size()));
  }
}

void Engine::Player::reset() {
  queue_.clear();
  sharing_.reset();
  std::copy(indegree_.begin(), indegree_.end(), waiting_.begin());
  std::fill(running_.begin(), running_.end(), kNone);
  std::fill(head_.begin(), head_.end(), kNone);
  std::fill(held_.begin(), held_.end(), 0.0);
  std::fill(holders_.begin(), holders_.end(), 0U);
  std::fill(flowing_.begin(), flowing_.end(), std::uint8_t{0});
  std::fill(out_.link_bytes.begin(), out_.link_bytes.end(), 0.0);
  now_ = 0;
  sequence_ = 0;
  ended_ = 0;
  out_.events = 0;
  out_.makespan_s = 0;
}

inline void Engine::Player::push(double time, TaskId task) {
  if (queue_.full()) {
    queue_.drop([this](const Event& event) {
      return (kind_[event.task] & kFluid) != 0 && live_[event.task] != event.sequence;
    });
  }
  queue_.push({time, sequence_, task});
  if (++sequence_ == kNone) {
    throw Error(ErrorKind::internal, "event engine", "more than four billion events");
  }
}

inline void Engine::Player::make_ready(TaskId task, TaskId because) {
  if ((kind_[task] & kQueued) != 0) {
    const auto stream = stream_[task];
    if (running_[stream] != kNone) {
      next_[task] = kNone;
      (head_[stream] == kNone ? head_[stream] : next_[tail_[stream]]) = task;
      tail_[stream] = task;
      return;
    }
    running_[stream] = task;
  }
  start(task, because);
}

inline void Engine::Player::start(TaskId task, TaskId because) {
  out_.start_s[task] = now_;
  out_.held_up_by[task] = because;
  if ((kind_[task] & (kFluid | kHolds)) == 0) {
    push(now_ + work_[task], task);
  } else {
    start_special(task);
  }
}

void Engine::Player::start_special(TaskId task) {
  if ((kind_[task] & kHolds) != 0) {
    change_hold(task, 1.0);
  }
  if ((kind_[task] & kTransfer) != 0) {
    if (latency_[task] > 0.0) {
      live_[task] = sequence_;
      push(now_ + latency_[task], task);
    } else {
      left_[task] = work_[task];
      rate_[task] = 0.0;
      since_[task] = now_;
      flowing_[task] = 1;
      sharing_.start(task);
    }
  } else if ((kind_[task] & kSlowed) != 0) {
    const auto stream = stream_[task];
    running_[stream] = task;
    left_[task] = work_[task];
    since_[task] = now_;
    rate_[task] = 0.0;
    const auto device = stream_device_[stream];
    set_rate(task, 1.0 - held_[device] / units_[device]);
  } else {
    push(now_ + work_[task], task);
  }
}

// Brings what is left of a task up to date.
void Engine::Player::settle(TaskId task) {
  const double done = std::min(left_[task], rate_[task] * (now_ - since_[task]));
  left_[task] -= done;
  since_[task] = now_;
  for (auto hop = route_begin_[task]; hop < route_begin_[task + 1]; ++hop) {
    out_.link_bytes[route_[hop]] += done;
  }
}

void Engine::Player::set_rate(TaskId task, double rate) {
  if (rate == rate_[task]) {
    return;
  }
  settle(task);
  rate_[task] = rate;
  live_[task] = sequence_;
  push(now_ + left_[task] / rate, task);
}

void Engine::Player::change_hold(TaskId task, double sign) {
  for (auto i = hold_begin_[task]; i < hold_begin_[task + 1]; ++i) {
    const auto device = holds_[i].device;
    holders_[device] += sign > 0 ? 1U : ~0U;
    held_[device] = holders_[device] == 0 ? 0.0 : held_[device] + sign * holds_[i].units;
    const double rate = 1.0 - held_[device] / units_[device];
    if (rate <= 0.0) {
      throw Error(
          ErrorKind::internal, "event engine",
          "communication tasks hold every compute unit of device " + std::to_string(device));
    }
    for (auto s = device_streams_begin_[device]; s < device_streams_begin_[device + 1]; ++s) {
      const auto running = running_[device_streams_[s]];
      if (running != kNone && (kind_[running] & kSlowed) != 0) {
        set_rate(running, rate);
      }
    }
  }
}

void Engine::Player::share_links() {
  for (const auto task : sharing_.solve()) {
    set_rate(task, sharing_.rate(task));
  }
}

// Whether the event is the end of its task: not replaced, and not the end of a latency.
bool Engine::Player::fluid_event(const Event& event) {
  const auto task = event.task;
  if (live_[task] != event.sequence) {
    return false;
  }
  now_ = event.time;
  if ((kind_[task] & kTransfer) != 0 && flowing_[task] == 0) {
    left_[task] = work_[task];
    rate_[task] = 0.0;
    since_[task] = now_;
    flowing_[task] = 1;
    sharing_.start(task);
    return false;
  }
  settle(task);
  return true;
}

inline void Engine::Player::end(TaskId task) {
  out_.end_s[task] = now_;
  ++ended_;
  if (kind_[task] != 0) {
    end_special(task);
  }
  for (auto i = successor_begin_[task]; i < successor_begin_[task + 1]; ++i) {
    if (--waiting_[successor_[i]] == 0) {
      make_ready(successor_[i], task);
    }
  }
}

void Engine::Player::end_special(TaskId task) {
  const auto kind = kind_[task];
  const auto stream = stream_[task];
  if ((kind & kTransfer) != 0) {
    sharing_.finish(task);
    live_[task] = kNone;
  }
  if ((kind & kSlowed) != 0) {
    running_[stream] = kNone;
    live_[task] = kNone;
  }
  if ((kind & kHolds) != 0) {
    change_hold(task, -1.0);
  }
  if ((kind & kQueued) != 0) {
    running_[stream] = kNone;
    if (const auto first = head_[stream]; first != kNone) {
      head_[stream] = next_[first];
      running_[stream] = first;
      start(first, task);
    }
  }
}

const Timeline& Engine::Player::play() {
  reset();
  for (TaskId task = 0; task < work_.size(); ++task) {
    if (indegree_[task] == 0) {
      make_ready(task, kNone);
    }
  }
  for (;;) {
    // All that happens at one moment happens before the links are shared anew.
    if (sharing_.changed() && (queue_.empty() || queue_.top().time > now_)) {
      share_links();
    }
    if (queue_.empty()) {
      break;
    }
    const Event event = queue_.top();
    queue_.pop();
    ++out_.events;
    if ((kind_[event.task] & kFluid) != 0) {
      if (!fluid_event(event)) {
        continue;
      }
    } else {
      now_ = event.time;
    }
    end(event.task);
  }
  if (ended_ != work_.size()) {
    report_circle();
  }
  add_up();
  return out_;
}

void Engine::Player::add_up() {
  std::fill(out_.stream_busy_s.begin(), out_.stream_busy_s.end(), 0.0);
  for (std::size_t task = 0; task < work_.size(); ++task) {
    if (stream_[task] != kNone) {
      out_.stream_busy_s[stream_[task]] += out_.end_s[task] - out_.start_s[task];
    }
    out_.makespan_s = std::max(out_.makespan_s, out_.end_s[task]);
  }
  for (std::size_t link = 0; link < capacity_.size(); ++link) {
    out_.link_busy_s[link] = out_.link_bytes[link] / capacity_[link];
  }
}

void Engine::Player::report_circle() const {
  std::string waiting;
  int named = 0;
  for (std::size_t task = 0; task < work_.size() && named < 5; ++task) {
    if (waiting_[task] != 0) {
      waiting += (named++ == 0 ? "" : ", ") + std::to_string(task);
    }
  }
  throw Error(ErrorKind::internal, "task graph",
              std::to_string(work_.size() - ended_) + " of " + std::to_string(work_.size()) +
                  " tasks can never start: they wait for each other in a circle (tasks " + waiting +
                  " among them)");
}

Engine::Engine(const TaskGraph& graph) : player_(std::make_unique<Player>(graph)) {}
Engine::~Engine() = default;
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;

void Engine::set_work(TaskId task, double work) {
  if (task >= player_->work_.size() || !(work >= 0.0)) {
    throw Error(ErrorKind::internal, "event engine", "set_work: no such task, or a negative size");
  }
  player_->work_[task] = work;
}

const Timeline& Engine::play() {
  return player_->play();
}

}  // namespace jevons::sim
