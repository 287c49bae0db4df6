// Order and longest path against brute force on random graphs.
#include "jevons/workloads/graph.hpp"

#include "jevons/core/error.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

using namespace jevons;
using namespace jevons::workloads;

namespace {

Operator named(std::string name) {
  Operator op;
  op.name = std::move(name);
  op.shape = Copy{.bytes = 1};
  return op;
}

/// A random DAG whose edges go up a hidden random order of its vertices.
OperatorGraph random_dag(std::mt19937& random, std::size_t n) {
  OperatorGraph g;
  std::vector<std::size_t> rank(n);
  for (std::size_t i = 0; i < n; ++i) {
    rank[i] = i;
    g.add(named("op" + std::to_string(i)), {});
  }
  std::shuffle(rank.begin(), rank.end(), random);
  std::bernoulli_distribution edge(0.35);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = i + 1; j < n; ++j) {
      if (edge(random)) g.edges.push_back({rank[i], rank[j]});
    }
  }
  return g;
}

/// Longest path from v by trying all of them.
double longest_from(const OperatorGraph& g, const std::vector<double>& duration, std::size_t v) {
  double best = 0;
  for (const Edge& e : g.edges) {
    if (e.from == v) best = std::max(best, longest_from(g, duration, e.to));
  }
  return duration[v] + best;
}

}  // namespace

TEST_CASE("the critical path of random graphs is the longest of all paths, and is a path") {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> seconds(0.1, 3);
  for (int round = 0; round < 60; ++round) {
    const OperatorGraph g = random_dag(random, 1 + static_cast<std::size_t>(round % 9));
    std::vector<double> duration(g.operators.size());
    for (double& d : duration) d = seconds(random);
    double best = 0;
    for (std::size_t v = 0; v < duration.size(); ++v) {
      best = std::max(best, longest_from(g, duration, v));
    }
    const CriticalPath path = critical_path(g, duration);
    CHECK(path.length == doctest::Approx(best));
    double sum = 0;
    for (std::size_t i = 0; i < path.operators.size(); ++i) {
      sum += duration[path.operators[i]];
      if (i == 0) continue;
      CHECK(std::any_of(g.edges.begin(), g.edges.end(), [&](const Edge& e) {
        return e.from == path.operators[i - 1] && e.to == path.operators[i];
      }));
    }
    CHECK(sum == doctest::Approx(best));
  }
}

TEST_CASE("the topological order respects every edge and takes the least index when it can") {
  std::mt19937 random(11);
  for (int round = 0; round < 40; ++round) {
    const OperatorGraph g = random_dag(random, 12);
    const std::vector<std::size_t> order = topological_order(g);
    REQUIRE(order.size() == 12);
    std::vector<std::size_t> place(12);
    for (std::size_t i = 0; i < 12; ++i) place[order[i]] = i;
    for (const Edge& e : g.edges) CHECK(place[e.from] < place[e.to]);
    // Brute force of the tie rule: at each step the least vertex whose predecessors are done.
    std::vector<bool> done(12);
    for (const std::size_t next : order) {
      for (std::size_t v = 0; v < next; ++v) {
        const bool ready = !done[v] && std::none_of(g.edges.begin(), g.edges.end(), [&](Edge e) {
          return e.to == v && !done[e.from];
        });
        CHECK_FALSE(ready);
      }
      done[next] = true;
    }
  }
}

TEST_CASE("a cycle is an internal error that names an operator on it") {
  OperatorGraph g;
  g.add(named("outside"), {});
  g.add(named("left"), {0});
  g.add(named("right"), {1});
  g.edges.push_back({2, 1});
  try {
    static_cast<void>(topological_order(g));
    FAIL("no error");
  } catch (const Error& e) {
    CHECK(e.kind() == ErrorKind::internal);
    const bool names = e.message().find("left") != std::string::npos ||
                       e.message().find("right") != std::string::npos;
    CHECK(names);
    CHECK(e.message().find("outside") == std::string::npos);
  }
}

TEST_CASE("an edge to nowhere and a missing duration are internal errors") {
  OperatorGraph g;
  g.add(named("only"), {});
  CHECK_THROWS_AS(static_cast<void>(critical_path(g, {})), Error);
  g.edges.push_back({0, 4});
  CHECK_THROWS_AS(static_cast<void>(topological_order(g)), Error);
}

TEST_CASE("an appended part starts when all ends of the first part are done") {
  OperatorGraph head, tail;
  head.add(named("a"), {});
  head.add(named("b"), {0});
  head.add(named("c"), {0});
  tail.add(named("d"), {});
  tail.add(named("e"), {0});
  append(head, tail);
  const std::vector<double> duration{1, 5, 2, 1, 1};
  CHECK(critical_path(head, duration).length == doctest::Approx(8));
  CHECK(head.edges.size() == 5);
}

TEST_CASE("dot output names every operator and edge, quotes escaped") {
  OperatorGraph g;
  g.add(named("say \"hi\""), {});
  g.add(named("then"), {0});
  const std::string dot = to_dot(g);
  CHECK(dot.find("digraph") != std::string::npos);
  CHECK(dot.find("say \\\"hi\\\"") != std::string::npos);
  CHECK(dot.find("0->1") != std::string::npos);
}
