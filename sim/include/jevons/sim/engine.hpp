// A discrete-event engine: tasks with dependencies on exclusive streams and shared links.
//
//   TaskGraph graph;                                    // say what is to happen
//   const auto stream = graph.add_stream();
//   const auto link = graph.add_link(Bandwidth(50e9));
//   const auto work = graph.add_task(stream, Seconds(1e-3));
//   const auto send = graph.add_transfer(kNone, Bytes(1e6), std::array{link});
//   graph.add_dependency(work, send);
//   Engine engine(graph);                               // all memory is taken here
//   const Timeline& timeline = engine.play();           // no allocation while it plays
//
// Model. A task starts when every task it depends on has ended and its stream is free; it then runs
// to its end without preemption.
// - A duration runs at rate 1, or, on a stream of a device, at rate 1 − Σ held / units, where
// `held`
//   are the compute units that communication tasks hold on the device at that moment.
// - A transfer waits `latency`, then moves its bytes along all links of its route at the max–min
//   fair rate among the transfers active at that moment (engine_sharing.hpp). Flow level: no
//   packets, no slow start, no congestion loss.
// - Events are handled in the order (time, sequence number), so the same graph gives the same
//   timeline bit for bit.
// Known error: against SimGrid's flow model (CM02) below 1 % on random graphs (tests); both ignore
// protocol effects, so short messages on real networks are slower than latency + bytes/rate.
#pragma once

#include "jevons/core/units.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace jevons::sim {

using TaskId = std::uint32_t;
using StreamId = std::uint32_t;
using LinkId = std::uint32_t;
using DeviceId = std::uint32_t;
inline constexpr std::uint32_t kNone = 0xffffffffU;

/// Which of its waiting tasks a free stream takes.
enum class StreamOrder {
  as_added,  ///< the order of add_task, as on a CUDA stream: a late task holds up those behind it
  as_ready   ///< first come, first served
};

/// What is to be played. Wrong ids and negative sizes throw Error(internal).
class TaskGraph {
 public:
  void reserve(std::size_t tasks, std::size_t dependencies);
  /// A chip whose compute units communication tasks may hold.
  DeviceId add_device(double units);
  /// Tasks on a stream with a device are slowed while units of the device are held.
  StreamId add_stream(StreamOrder order = StreamOrder::as_added, DeviceId device = kNone);
  LinkId add_link(Bandwidth capacity);
  /// `stream` may be kNone: the task starts as soon as its dependencies have ended.
  TaskId add_task(StreamId stream, Seconds duration);
  /// `route`: at least one link, none twice.
  TaskId add_transfer(StreamId stream, Bytes bytes, std::span<const LinkId> route,
                      Seconds latency = {});
  /// `task` holds `units` of `device` while it runs.
  void hold_units(TaskId task, DeviceId device, double units);
  void add_dependency(TaskId before, TaskId after);
  [[nodiscard]] std::size_t tasks() const { return work_.size(); }

 private:
  friend class Engine;
  struct Stream {
    StreamOrder order;
    DeviceId device;
    TaskId last;  ///< the task added last
  };
  struct Hold {
    TaskId task;
    DeviceId device;
    double units;
  };
  TaskId add(StreamId stream, double work);
  std::vector<double> work_;  ///< seconds or bytes
  std::vector<StreamId> stream_;
  std::vector<std::uint32_t> route_begin_{0};
  std::vector<LinkId> route_;
  std::vector<double> latency_;
  std::vector<TaskId> before_, after_;
  std::vector<Hold> holds_;
  std::vector<Stream> streams_;
  std::vector<double> links_, devices_;
};

/// When everything happened. Hot arrays are raw SI doubles.
struct Timeline {
  std::vector<double> start_s, end_s;  ///< by task
  std::vector<double> stream_busy_s;   ///< by stream
  std::vector<double> link_bytes;      ///< by link: the integral of its rate over time
  std::vector<double> link_busy_s;     ///< by link: bytes / capacity
  std::vector<TaskId> held_up_by;      ///< by task: whose end let it start; kNone at time zero
  double makespan_s = 0;
  std::uint64_t events = 0;
  [[nodiscard]] Seconds start(TaskId task) const { return Seconds(start_s[task]); }
  [[nodiscard]] Seconds end(TaskId task) const { return Seconds(end_s[task]); }
  [[nodiscard]] Seconds makespan() const { return Seconds(makespan_s); }
  /// The chain of tasks that ends last, first task first. Each starts when the one before it ends.
  [[nodiscard]] std::vector<TaskId> critical_path() const;
};

class Engine {
 public:
  explicit Engine(const TaskGraph& graph);
  ~Engine();
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;
  /// Replaces the seconds (or bytes, of a transfer) of a task before the next play.
  void set_work(TaskId task, double work);
  /// Plays from time zero. Throws Error(internal) when tasks wait for each other in a circle.
  const Timeline& play();

 private:
  class Player;
  std::unique_ptr<Player> player_;
};

}  // namespace jevons::sim
