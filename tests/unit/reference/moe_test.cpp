#include "jevons/reference/moe.hpp"

#include "random.hpp"

#include "jevons/reference/gemm.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

using namespace jevons::reference;
namespace wl = jevons::workloads;

namespace {

std::vector<FfnWeights<double>> make_experts(long count, long hidden, long width, unsigned seed) {
  std::vector<FfnWeights<double>> out;
  for (long e = 0; e < count; ++e) {
    const auto s = seed + static_cast<unsigned>(e) * 2;
    out.push_back(
        {random_matrix(hidden, 2 * width, s, 0.4), random_matrix(width, hidden, s + 1, 0.4)});
  }
  return out;
}

double spread(const std::vector<double>& loads) {
  const double mean =
      std::accumulate(loads.begin(), loads.end(), 0.0) / static_cast<double>(loads.size());
  return *std::max_element(loads.begin(), loads.end()) / mean;
}

}  // namespace

TEST_CASE("router: sigmoid gates leave the bias out, sum to the scaling, and pick the best") {
  const RouterShape shape{16, 4, 1, 1, true, true, 2.5};
  const auto logits = random_matrix(50, 16, 1);
  std::vector<double> bias(16, 0.0);
  bias[3] = 100;  // always chosen, whatever its score
  const auto routes = route(logits, bias, shape);
  for (std::size_t t = 0; t < 50; ++t) {
    CHECK(routes.experts[t][0] == 3);
    const double sum = std::accumulate(routes.gates[t].begin(), routes.gates[t].end(), 0.0);
    CHECK(sum == doctest::Approx(2.5));
    double scores = 0;
    const auto sigma = [&](long e) { return 1 / (1 + std::exp(-logits(static_cast<long>(t), e))); };
    for (const long e : routes.experts[t]) scores += sigma(e);
    CHECK(routes.gates[t][0] == doctest::Approx(2.5 * sigma(3) / scores));
  }
}

TEST_CASE("router: softmax gates of all experts are the softmax itself") {
  const RouterShape shape{6, 6, 1, 1, false, false};
  const auto logits = random_matrix(4, 6, 2);
  const auto routes = route(logits, {}, shape);
  for (std::size_t t = 0; t < 4; ++t) {
    CHECK(std::accumulate(routes.gates[t].begin(), routes.gates[t].end(), 0.0) ==
          doctest::Approx(1.0));
    CHECK(std::is_sorted(routes.gates[t].rbegin(), routes.gates[t].rend()));
  }
}

TEST_CASE("router: a token visits at most the groups it may, and the best ones") {
  const RouterShape shape{32, 6, 8, 3, true};
  const auto logits = random_matrix(300, 32, 3);
  const auto routes = route(logits, {}, shape);
  const RouterShape open{32, 6, 1, 1, true};
  const auto unlimited = route(logits, {}, open);
  bool differs = false;
  for (std::size_t t = 0; t < 300; ++t) {
    std::set<long> groups, experts;
    for (const long e : routes.experts[t]) {
      groups.insert(e / 4);
      experts.insert(e);
    }
    CHECK(groups.size() <= 3);
    CHECK(experts.size() == 6);
    // Brute force: a group's score is the sum of its two largest sigmoid scores.
    std::vector<std::pair<double, long>> scores;
    for (long g = 0; g < 8; ++g) {
      std::vector<double> members;
      for (long e = 4 * g; e < 4 * g + 4; ++e) {
        members.push_back(1 / (1 + std::exp(-logits(static_cast<long>(t), e))));
      }
      std::sort(members.rbegin(), members.rend());
      scores.emplace_back(members[0] + members[1], g);
    }
    std::sort(scores.rbegin(), scores.rend());
    for (const long g : groups) {
      CHECK((g == scores[0].second || g == scores[1].second || g == scores[2].second));
    }
    differs = differs || routes.experts[t] != unlimited.experts[t];
  }
  CHECK(differs);
}

TEST_CASE("router: the bias rule evens out loads that start skewed") {
  const long experts = 32;
  const RouterShape shape{experts, 4, 1, 1, true};
  std::vector<double> bias(static_cast<std::size_t>(experts), 0.0);
  std::vector<double> trajectory;
  for (unsigned step = 0; step < 600; ++step) {
    auto logits = random_matrix(512, experts, 1000 + step);
    for (long t = 0; t < logits.rows(); ++t) {
      for (long e = 0; e < experts; ++e) logits(t, e) += 1.5 * std::sin(static_cast<double>(e));
    }
    const auto loads = route(logits, bias, shape).loads(experts);
    CHECK(std::accumulate(loads.begin(), loads.end(), 0.0) == 512 * 4);
    trajectory.push_back(spread(loads));
    update_bias(bias, loads, 0.002);
  }
  const double late = std::accumulate(trajectory.end() - 50, trajectory.end(), 0.0) / 50;
  MESSAGE("load max/mean: first ", trajectory.front(), ", after 600 steps ", late);
  CHECK(trajectory.front() > 2.0);
  CHECK(late < 1.45);  // 64 tokens an expert: balanced but random routing already gives about 1.3
  CHECK(trajectory[100] < trajectory.front());
}

TEST_CASE("MoE: equals a dense sum over all experts weighted by the gates") {
  const long hidden = 12, width = 7;
  const auto experts = make_experts(8, hidden, width, 10),
             shared = make_experts(2, hidden, width, 90);
  const auto x = random_matrix(9, hidden, 5);
  const RouterShape shape{8, 3, 4, 2, true, true, 2.5};
  const auto routes = route(random_matrix(9, 8, 6), {}, shape);
  Matrix<double> dense(9, hidden);
  for (long e = 0; e < 8; ++e) {
    const auto y = ffn(x, experts[static_cast<std::size_t>(e)]);
    for (long t = 0; t < 9; ++t) {
      const auto& chosen = routes.experts[static_cast<std::size_t>(t)];
      const auto found = std::find(chosen.begin(), chosen.end(), e);
      const double gate = found == chosen.end()
                              ? 0.0
                              : routes.gates[static_cast<std::size_t>(t)]
                                            [static_cast<std::size_t>(found - chosen.begin())];
      for (long c = 0; c < hidden; ++c) dense(t, c) += gate * y(t, c);
    }
  }
  for (const auto& w : shared) {
    const auto y = ffn(x, w);
    for (std::size_t i = 0; i < dense.size(); ++i) dense.data()[i] += y.data()[i];
  }
  CHECK(largest_difference(moe(x, routes, experts, shared), dense) < 1e-13);
}

TEST_CASE("MoE: counted work is that of its rows and of the experts they touch") {
  const long hidden = 10, width = 6, count = 16;
  const auto experts = make_experts(count, hidden, width, 10);
  for (const long tokens : {1L, 3L, 40L}) {
    const auto x = random_matrix(tokens, hidden, 5);
    const RouterShape shape{count, 4, 1, 1, true};
    const auto routes = route(random_matrix(tokens, count, 6), {}, shape);
    const auto loads = routes.loads(count);
    const auto hit = static_cast<double>(
        std::count_if(loads.begin(), loads.end(), [](double l) { return l > 0; }));
    Meter meter;
    (void)moe(x, routes, experts, {}, &meter);
    const double rows = static_cast<double>(tokens) * 4;
    CHECK(meter.flops() == 6 * rows * hidden * width);
    CHECK(meter.of(TensorClass::weights) == hit * 3 * hidden * width * 2);
    // Where the balanced operator touches as many experts, its claim is the same to the byte.
    wl::MoeExperts claim_shape;
    claim_shape.tokens = static_cast<double>(tokens);
    claim_shape.hidden = hidden;
    claim_shape.intermediate = width;
    claim_shape.top_k = 4;
    claim_shape.experts = hit;
    wl::Operator op;
    op.shape = claim_shape;
    wl::Work claim = work_of(op);
    CHECK(meter.flops() == claim.flops);
    // Operators of their own in a graph: rows gathered, SwiGLU between the projections, and a
    // token's copies read and written as their sum.
    const double moved =
        rows * (2 * hidden + 3 * width + hidden) + hidden * static_cast<double>(tokens);
    claim.bytes[static_cast<std::size_t>(TensorClass::activations)] += 2 * moved;
    CHECK(meter.bytes == claim.bytes);
  }
}

TEST_CASE("MoE: gradients of inputs, experts, gates and router logits equal finite differences") {
  const long hidden = 5, width = 3;
  auto experts = make_experts(4, hidden, width, 10), shared = make_experts(1, hidden, width, 80);
  auto x = random_matrix(6, hidden, 5);
  auto logits = random_matrix(6, 4, 6);
  const auto seed = random_matrix(6, hidden, 7);
  const RouterShape shape{4, 2, 1, 1, true, true, 2.5};
  const auto loss = [&] {
    const auto y = moe(x, route(logits, {}, shape), experts, shared);
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += y.data()[i] * seed.data()[i];
    return sum;
  };
  const auto routes = route(logits, {}, shape);
  Meter forward, backward;
  (void)moe(x, routes, experts, shared, &forward);
  const auto g = moe_backward(x, routes, experts, shared, seed, &backward);
  CHECK(backward.multiply_adds == 2 * forward.multiply_adds);  // training is three forwards
  const auto dlogits = route_backward(logits, routes, g.gates, shape);
  const auto numeric = [&](double& value) {
    const double h = 1e-6, kept = value;
    value = kept + h;
    const double up = loss();
    value = kept - h;
    const double down = loss();
    value = kept;
    return (up - down) / (2 * h);
  };
  for (std::size_t i = 0; i < x.size(); ++i) {
    CHECK(std::abs(numeric(x.data()[i]) - g.x.data()[i]) < 1e-7);
  }
  for (std::size_t i = 0; i < logits.size(); ++i) {
    CHECK(std::abs(numeric(logits.data()[i]) - dlogits.data()[i]) < 1e-7);
  }
  for (std::size_t e = 0; e < experts.size(); ++e) {
    for (std::size_t i = 0; i < experts[e].gate_up.size(); i += 3) {
      CHECK(std::abs(numeric(experts[e].gate_up.data()[i]) - g.experts[e].gate_up.data()[i]) <
            1e-7);
    }
    for (std::size_t i = 0; i < experts[e].down.size(); i += 2) {
      CHECK(std::abs(numeric(experts[e].down.data()[i]) - g.experts[e].down.data()[i]) < 1e-7);
    }
  }
  CHECK(std::abs(numeric(shared[0].down.data()[4]) - g.shared[0].down.data()[4]) < 1e-7);
}
