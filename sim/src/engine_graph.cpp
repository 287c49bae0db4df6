#include "jevons/core/error.hpp"
#include "jevons/sim/engine.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace jevons::sim {
namespace {

void require(bool holds, const char* what) {
  if (!holds) {
    throw Error(ErrorKind::internal, "task graph", what);
  }
}

bool is_size(double value) {
  return std::isfinite(value) && value >= 0.0;
}

}  // namespace

void TaskGraph::reserve(std::size_t tasks, std::size_t dependencies) {
  work_.reserve(tasks);
  stream_.reserve(tasks);
  latency_.reserve(tasks);
  route_begin_.reserve(tasks + 1);
  before_.reserve(dependencies);
  after_.reserve(dependencies);
}

DeviceId TaskGraph::add_device(double units) {
  require(is_size(units) && units > 0.0, "a device has a positive number of compute units");
  devices_.push_back(units);
  return static_cast<DeviceId>(devices_.size() - 1);
}

StreamId TaskGraph::add_stream(StreamOrder order, DeviceId device) {
  require(device == kNone || device < devices_.size(), "the device of a stream does not exist");
  streams_.push_back({order, device, kNone});
  return static_cast<StreamId>(streams_.size() - 1);
}

LinkId TaskGraph::add_link(Bandwidth capacity) {
  require(is_size(capacity.raw()) && capacity.raw() > 0.0, "a link has a positive bandwidth");
  links_.push_back(capacity.raw());
  return static_cast<LinkId>(links_.size() - 1);
}

TaskId TaskGraph::add(StreamId stream, double work) {
  require(stream == kNone || stream < streams_.size(), "the stream of a task does not exist");
  require(is_size(work), "a task has a finite size that is not negative");
  require(work_.size() < kNone - 1U, "too many tasks");
  const auto task = static_cast<TaskId>(work_.size());
  work_.push_back(work);
  stream_.push_back(stream);
  latency_.push_back(0.0);
  route_begin_.push_back(static_cast<std::uint32_t>(route_.size()));
  if (stream != kNone && streams_[stream].order == StreamOrder::as_added) {
    if (streams_[stream].last != kNone) {
      add_dependency(streams_[stream].last, task);
    }
    streams_[stream].last = task;
  }
  return task;
}

TaskId TaskGraph::add_task(StreamId stream, Seconds duration) {
  return add(stream, duration.raw());
}

TaskId TaskGraph::add_transfer(StreamId stream, Bytes bytes, std::span<const LinkId> route,
                               Seconds latency) {
  require(!route.empty(), "a transfer needs a route");
  require(is_size(latency.raw()), "a latency is finite and not negative");
  for (std::size_t i = 0; i < route.size(); ++i) {
    require(route[i] < links_.size(), "a link of a route does not exist");
    require(std::find(route.begin(), route.begin() + static_cast<std::ptrdiff_t>(i), route[i]) ==
                route.begin() + static_cast<std::ptrdiff_t>(i),
            "a route uses a link twice");
  }
  const auto task = add(stream, bytes.raw());
  route_.insert(route_.end(), route.begin(), route.end());
  route_begin_.back() = static_cast<std::uint32_t>(route_.size());
  latency_.back() = latency.raw();
  return task;
}

void TaskGraph::hold_units(TaskId task, DeviceId device, double units) {
  require(task < tasks() && device < devices_.size(), "a hold names an unknown task or device");
  require(is_size(units) && units < devices_[device], "a hold leaves compute units to others");
  holds_.push_back({task, device, units});
}

void TaskGraph::add_dependency(TaskId before, TaskId after) {
  require(before < tasks() && after < tasks() && before != after,
          "a dependency joins two different tasks that exist");
  before_.push_back(before);
  after_.push_back(after);
}

std::vector<TaskId> Timeline::critical_path() const {
  std::vector<TaskId> path;
  if (end_s.empty()) {
    return path;
  }
  const auto last = std::max_element(end_s.begin(), end_s.end());
  for (auto task = static_cast<TaskId>(last - end_s.begin()); task != kNone;
       task = held_up_by[task]) {
    path.push_back(task);
  }
  std::reverse(path.begin(), path.end());
  return path;
}

}  // namespace jevons::sim
