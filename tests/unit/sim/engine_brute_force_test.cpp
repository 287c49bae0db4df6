// The engine against a simulator that recomputes everything at every step, on small random graphs.
#include "jevons/sim/engine.hpp"
#include "jevons/sim/engine_sharing.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <random>

using namespace jevons;
using namespace jevons::sim;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Rates grow together from zero; a flow stops when a link on its way is full.
std::vector<double> water_filling(const std::vector<double>& capacity,
                                  const std::vector<std::vector<std::uint32_t>>& routes) {
  std::vector<double> rate(routes.size(), 0.0);
  std::vector<bool> frozen(routes.size(), false);
  const auto crossing = [&](std::size_t link, auto&& value) {
    double sum = 0;
    for (std::size_t f = 0; f < routes.size(); ++f) {
      if (std::find(routes[f].begin(), routes[f].end(), link) != routes[f].end()) {
        sum += value(f);
      }
    }
    return sum;
  };
  for (;;) {
    double step = kInfinity;
    std::size_t full = 0;
    for (std::size_t link = 0; link < capacity.size(); ++link) {
      const double growing = crossing(link, [&](auto f) { return frozen[f] ? 0.0 : 1.0; });
      const double left = capacity[link] - crossing(link, [&](auto f) { return rate[f]; });
      if (growing > 0 && left / growing < step) {
        step = left / growing;
        full = link;
      }
    }
    if (step == kInfinity) {
      return rate;
    }
    for (std::size_t f = 0; f < routes.size(); ++f) {
      rate[f] += frozen[f] ? 0.0 : step;
    }
    for (std::size_t f = 0; f < routes.size(); ++f) {
      frozen[f] =
          frozen[f] || std::find(routes[f].begin(), routes[f].end(), full) != routes[f].end();
    }
  }
}

struct Case {
  struct Task {
    StreamId stream = kNone;
    double work = 0, latency = 0, held = 0;
    std::vector<LinkId> route;
    std::vector<TaskId> after;
  };
  std::vector<Task> tasks;
  std::vector<double> links;
  int streams = 3;  // stream 0 computes on a device of 10 units
};

Case random_case(std::mt19937_64& random) {
  std::uniform_real_distribution<double> real(0.1, 2.0);
  const auto below = [&](std::uint64_t n) { return random() % n; };
  Case out;
  for (std::size_t i = 0, n = 1 + below(4); i < n; ++i) {
    out.links.push_back(real(random));
  }
  for (std::size_t i = 0, n = 1 + below(14); i < n; ++i) {
    Case::Task task;
    task.work = below(12) == 0 ? 0.0 : real(random);
    task.stream = below(3) == 0 ? kNone : static_cast<StreamId>(below(3));
    if (below(2) == 0) {
      for (LinkId link = 0; link < out.links.size(); ++link) {
        if (below(2) == 0) {
          task.route.push_back(link);
        }
      }
      task.latency = !task.route.empty() && below(2) == 0 ? real(random) : 0.0;
    }
    task.held = task.stream != 0 && below(3) == 0 ? 2.0 : 0.0;
    for (TaskId j = 0; j < i; ++j) {
      if (below(6) == 0) {
        task.after.push_back(j);
      }
    }
    out.tasks.push_back(task);
  }
  return out;
}

TaskGraph to_graph(const Case& from) {
  TaskGraph graph;
  const auto device = graph.add_device(40);
  for (int i = 0; i < from.streams; ++i) {
    graph.add_stream(StreamOrder::as_added, i == 0 ? device : kNone);
  }
  for (const double link : from.links) {
    graph.add_link(Bandwidth(link));
  }
  for (const auto& task : from.tasks) {
    const auto id = task.route.empty() ? graph.add_task(task.stream, Seconds(task.work))
                                       : graph.add_transfer(task.stream, Bytes(task.work),
                                                            task.route, Seconds(task.latency));
    if (task.held > 0) {
      graph.hold_units(id, device, task.held);
    }
    for (const auto before : task.after) {
      graph.add_dependency(before, id);
    }
  }
  return graph;
}

struct BruteForce {
  const Case& from;
  std::vector<double> start, end, left, wait;
  explicit BruteForce(const Case& c) : from(c) {
    start.assign(c.tasks.size(), kInfinity);
    end = start;
    for (const auto& task : c.tasks) {
      left.push_back(task.work);
      wait.push_back(task.latency);
    }
  }
  bool running(std::size_t i) const { return start[i] < kInfinity && end[i] == kInfinity; }
  bool may_start(std::size_t i) const {
    const auto& task = from.tasks[i];
    for (const auto before : task.after) {
      if (end[before] == kInfinity) return false;
    }
    for (std::size_t j = 0; j < i && task.stream != kNone; ++j) {
      if (from.tasks[j].stream == task.stream && end[j] == kInfinity) return false;
    }
    return start[i] == kInfinity;
  }
  std::vector<double> rates() const {
    std::vector<std::vector<std::uint32_t>> routes(from.tasks.size());
    double held = 0;
    for (std::size_t i = 0; i < from.tasks.size(); ++i) {
      if (running(i)) {
        held += from.tasks[i].held;
        if (wait[i] == 0) routes[i] = from.tasks[i].route;
      }
    }
    auto rate = water_filling(from.links, routes);
    for (std::size_t i = 0; i < rate.size(); ++i) {
      if (from.tasks[i].route.empty()) rate[i] = from.tasks[i].stream == 0 ? 1 - held / 40 : 1.0;
    }
    return rate;
  }
  void play() {
    double now = 0;
    for (;;) {
      bool changed = false;
      for (std::size_t i = 0; i < from.tasks.size(); ++i) {
        if (may_start(i)) {
          start[i] = now;
          changed = true;
        }
        if (running(i) && wait[i] == 0 && left[i] < 1e-12) {
          end[i] = now;
          changed = true;
        }
      }
      if (changed) continue;
      const auto rate = rates();
      double step = kInfinity;
      for (std::size_t i = 0; i < rate.size(); ++i) {
        if (running(i)) step = std::min(step, wait[i] > 0 ? wait[i] : left[i] / rate[i]);
      }
      if (step == kInfinity) return;
      for (std::size_t i = 0; i < rate.size(); ++i) {
        if (!running(i)) continue;
        if (wait[i] > 0) {
          wait[i] = wait[i] - step < 1e-12 ? 0.0 : wait[i] - step;
        } else {
          left[i] -= step * rate[i];
        }
      }
      now += step;
    }
  }
};

}  // namespace

TEST_CASE("engine: start and end of every task agree with brute force on 3000 random graphs") {
  std::mt19937_64 random(11);
  int wrong = 0;
  for (int round = 0; round < 3000; ++round) {
    const auto from = random_case(random);
    BruteForce brute(from);
    brute.play();
    Engine engine(to_graph(from));
    const auto& timeline = engine.play();
    for (std::size_t i = 0; i < from.tasks.size(); ++i) {
      const bool same = std::abs(timeline.start_s[i] - brute.start[i]) < 1e-9 &&
                        std::abs(timeline.end_s[i] - brute.end[i]) < 1e-9;
      wrong += same ? 0 : 1;
    }
  }
  CHECK(wrong == 0);
}

TEST_CASE("engine: links carry the bytes of their transfers, streams the seconds of their tasks") {
  std::mt19937_64 random(12);
  for (int round = 0; round < 500; ++round) {
    const auto from = random_case(random);
    Engine engine(to_graph(from));
    const auto& timeline = engine.play();
    std::vector<double> bytes(from.links.size(), 0.0);
    double done = 0;
    for (std::size_t i = 0; i < from.tasks.size(); ++i) {
      for (const auto link : from.tasks[i].route) {
        bytes[link] += from.tasks[i].work;
      }
      const bool plain = from.tasks[i].stream == 1 && from.tasks[i].route.empty();
      done += plain ? from.tasks[i].work - (timeline.end_s[i] - timeline.start_s[i]) : 0.0;
    }
    REQUIRE(std::abs(done) < 1e-9);
    for (std::size_t link = 0; link < bytes.size(); ++link) {
      REQUIRE(timeline.link_bytes[link] == doctest::Approx(bytes[link]).epsilon(1e-9));
      REQUIRE(timeline.link_busy_s[link] <= timeline.makespan_s * (1 + 1e-9));
    }
  }
}

TEST_CASE("sharing: rates are the water-filling rates while flows come and go") {
  std::mt19937_64 random(13);
  std::uniform_real_distribution<double> real(0.5, 4.0);
  for (int round = 0; round < 200; ++round) {
    std::vector<double> capacity(2 + random() % 6);
    std::generate(capacity.begin(), capacity.end(), [&] { return real(random); });
    std::vector<std::uint32_t> begin{0}, route;
    for (int f = 0; f < 12; ++f) {
      const auto first = random() % capacity.size();
      for (std::uint32_t link = 0; link < capacity.size(); ++link) {
        if (link == first || random() % 4 == 0) route.push_back(link);
      }
      begin.push_back(static_cast<std::uint32_t>(route.size()));
    }
    FairSharing sharing(capacity, begin, route);
    std::vector<bool> active(12, false);
    for (int step = 0; step < 30; ++step) {
      const auto flow = static_cast<std::uint32_t>(random() % 12);
      active[flow] ? sharing.finish(flow) : sharing.start(flow);
      active[flow] = !active[flow];
      if (random() % 3 == 0) continue;  // several changes may come before one solve
      sharing.solve();
      std::vector<std::vector<std::uint32_t>> routes(12);
      for (std::uint32_t f = 0; f < 12; ++f) {
        if (active[f]) routes[f].assign(route.begin() + begin[f], route.begin() + begin[f + 1]);
      }
      const auto expected = water_filling(capacity, routes);
      for (std::uint32_t f = 0; f < 12; ++f) {
        if (active[f]) REQUIRE(sharing.rate(f) == doctest::Approx(expected[f]).epsilon(1e-9));
      }
    }
  }
}
