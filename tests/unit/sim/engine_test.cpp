#include "jevons/sim/engine.hpp"

#include "jevons/core/error.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <malloc.h>
#include <random>

using namespace jevons;
using namespace jevons::sim;

namespace {

// n items through stages of the given times, first come first served at each.
TaskGraph pipeline(const std::vector<double>& stage_s, int items) {
  TaskGraph graph;
  for (std::size_t i = 0; i < stage_s.size(); ++i) {
    graph.add_stream(StreamOrder::as_ready);
  }
  for (int item = 0; item < items; ++item) {
    TaskId before = kNone;
    for (std::size_t stage = 0; stage < stage_s.size(); ++stage) {
      const auto task = graph.add_task(static_cast<StreamId>(stage), Seconds(stage_s[stage]));
      if (before != kNone) {
        graph.add_dependency(before, task);
      }
      before = task;
    }
  }
  return graph;
}

// A queue with one server: customer i arrives at arrivals[i] and is served for `service` seconds.
TaskGraph queue(const std::vector<double>& arrivals, double service) {
  TaskGraph graph;
  const auto server = graph.add_stream(StreamOrder::as_ready);
  for (const double arrival : arrivals) {
    const auto arrive = graph.add_task(kNone, Seconds(arrival));
    graph.add_dependency(arrive, graph.add_task(server, Seconds(service)));
  }
  return graph;
}

}  // namespace

TEST_CASE("engine: a pipeline takes the sum of its stages and n - 1 times the slowest") {
  const std::vector<double> stages{0.3, 0.7, 0.2, 0.5};
  Engine engine(pipeline(stages, 40));
  // 0.3 + 0.7 + 0.2 + 0.5 = 1.7, and 39 more items leave the 0.7 s stage 0.7 s apart
  CHECK(engine.play().makespan_s == doctest::Approx(1.7 + 39 * 0.7).epsilon(1e-12));
}

TEST_CASE("engine: a deterministic queue that is overloaded builds up by service minus interval") {
  std::vector<double> arrivals;
  for (int i = 0; i < 100; ++i) {
    arrivals.push_back(i * 1.0);
  }
  Engine engine(queue(arrivals, 1.25));
  const auto& timeline = engine.play();
  for (TaskId i = 0; i < 100; ++i) {
    CHECK(timeline.start_s[2 * i + 1] - timeline.end_s[2 * i] == doctest::Approx(0.25 * i));
  }
}

TEST_CASE(
    "engine: waiting in an M/D/1 queue follows Lindley exactly, Pollaczek-Khinchine in mean") {
  std::mt19937_64 random(7);
  std::exponential_distribution<double> gap(0.7);
  std::vector<double> arrivals{0.0};
  while (arrivals.size() < 200'000) {
    arrivals.push_back(arrivals.back() + gap(random));
  }
  Engine engine(queue(arrivals, 1.0));
  const auto& timeline = engine.play();
  double wait = 0, sum = 0, worst = 0;
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    if (i > 0) {
      wait = std::max(0.0, wait + 1.0 - (arrivals[i] - arrivals[i - 1]));
    }
    worst = std::max(worst, std::abs(timeline.start_s[2 * i + 1] - timeline.end_s[2 * i] - wait));
    sum += wait;
  }
  CHECK(worst < 1e-7);
  // W = rho s / (2 (1 - rho)) = 0.7 / 0.6
  CHECK(sum / static_cast<double>(arrivals.size()) == doctest::Approx(0.7 / 0.6).epsilon(0.03));
}

TEST_CASE("engine: a stream in order lets a late task hold up those behind it") {
  TaskGraph graph;
  const auto stream = graph.add_stream();
  const auto late = graph.add_task(kNone, Seconds(5));
  const auto first = graph.add_task(stream, Seconds(1));
  const auto second = graph.add_task(stream, Seconds(1));
  graph.add_dependency(late, first);
  Engine engine(graph);
  CHECK(engine.play().start_s[second] == doctest::Approx(6));
}

TEST_CASE("engine: two flows share a link, the second finishes alone at full rate") {
  TaskGraph graph;
  const std::array route{graph.add_link(Bandwidth(10))};
  const auto small = graph.add_transfer(kNone, Bytes(10), route);
  const auto large = graph.add_transfer(kNone, Bytes(30), route);
  Engine engine(graph);
  const auto& timeline = engine.play();
  CHECK(timeline.end_s[small] == doctest::Approx(2.0));  // 10 B at 5 B/s
  CHECK(timeline.end_s[large] == doctest::Approx(4.0));  // 10 B at 5 B/s, 20 B at 10 B/s
  CHECK(timeline.link_bytes[0] == doctest::Approx(40.0));
}

TEST_CASE("engine: latency comes before the bytes and takes no bandwidth") {
  TaskGraph graph;
  const std::array route{graph.add_link(Bandwidth(10))};
  const auto delayed = graph.add_transfer(kNone, Bytes(10), route, Seconds(1.0));
  const auto prompt = graph.add_transfer(kNone, Bytes(10), route);
  Engine engine(graph);
  CHECK(engine.play().end_s[prompt] == doctest::Approx(1.0));
  CHECK(engine.play().end_s[delayed] == doctest::Approx(2.0));
}

TEST_CASE("engine: communication that holds 20 of 132 units slows compute by 20/132 meanwhile") {
  TaskGraph graph;
  const auto chip = graph.add_device(132);
  const auto compute = graph.add_stream(StreamOrder::as_added, chip);
  const auto comm = graph.add_stream();
  const auto kernel = graph.add_task(compute, Seconds(1.0));
  const auto exchange = graph.add_task(comm, Seconds(0.5));
  graph.hold_units(exchange, chip, 20);
  Engine engine(graph);
  // 0.5 s at 112/132, the rest at full rate: 0.5 + (1 - 0.5 * 112/132)
  CHECK(engine.play().end_s[kernel] == doctest::Approx(0.5 + 1 - 0.5 * 112.0 / 132.0));
  CHECK(engine.play().end_s[exchange] == doctest::Approx(0.5));
}

TEST_CASE("engine: the critical path is gapless and as long as the makespan") {
  Engine engine(pipeline({0.3, 0.7, 0.2}, 10));
  const auto& timeline = engine.play();
  const auto path = timeline.critical_path();
  REQUIRE(path.size() == 12);  // one item through stage 1, ten through stage 2, one through stage 3
  CHECK(timeline.start_s[path.front()] == 0.0);
  CHECK(timeline.end_s[path.back()] == timeline.makespan_s);
  for (std::size_t i = 1; i < path.size(); ++i) {
    CHECK(timeline.start_s[path[i]] == timeline.end_s[path[i - 1]]);
  }
}

TEST_CASE("engine: tasks that wait for each other in a circle are an error that names them") {
  TaskGraph graph;
  const auto a = graph.add_task(kNone, Seconds(1));
  const auto b = graph.add_task(kNone, Seconds(1));
  graph.add_dependency(a, b);
  graph.add_dependency(b, a);
  Engine engine(graph);
  CHECK_THROWS_WITH_AS(engine.play(), doctest::Contains("circle"), Error);
}

TEST_CASE("engine: playing again allocates nothing and repeats every bit") {
  std::mt19937_64 random(3);
  TaskGraph graph;
  std::vector<LinkId> links;
  for (int i = 0; i < 8; ++i) {
    links.push_back(graph.add_link(Bandwidth(1.0 + i)));
  }
  for (int i = 0; i < 2000; ++i) {
    const std::array route{links[random() % 4], links[4 + random() % 4]};
    const auto task = graph.add_transfer(kNone, Bytes(1.0 + static_cast<double>(random() % 100)),
                                         route, Seconds(0.01 * static_cast<double>(random() % 3)));
    for (int d = 0; d < 2 && task > 0; ++d) {
      graph.add_dependency(static_cast<TaskId>(random() % task), task);
    }
  }
  Engine engine(graph);
  const auto before = mallinfo2().uordblks;
  const auto first = engine.play().end_s;  // a copy
  const auto copy = mallinfo2().uordblks - before;
  const auto& again = engine.play();
  CHECK(copy < 2000 * sizeof(double) + 64);
  CHECK(mallinfo2().uordblks - before == copy);
  CHECK(first == again.end_s);
  Engine other(graph);
  CHECK(first == other.play().end_s);
}
