// Claims that hold in the mean over random routing, and the element-wise operators of a layer.
#include "random.hpp"
#include "toy.hpp"

#include "jevons/reference/model.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

using namespace jevons::reference;
namespace wl = jevons::workloads;

namespace {

/// Work of the operators of that name.
wl::Work named(const wl::OperatorGraph& graph, const std::string& name) {
  wl::Work sum;
  for (const wl::Operator& op : graph.operators) {
    if (op.name != name) continue;
    const wl::Work w = work_of(op);
    sum.flops += w.flops;
    for (std::size_t c = 0; c < sum.bytes.size(); ++c) sum.bytes[c] += w.bytes[c];
  }
  return sum;
}

Routes<double> random_routes(long tokens, const RouterShape& shape, unsigned seed) {
  return route(random_matrix(tokens, shape.experts, seed), {}, shape);
}

}  // namespace

TEST_CASE("counting: norms and SwiGLU move the bytes that their operators claim") {
  const auto config = toy();
  const long tokens = 24;
  wl::LayerContext context;
  context.tokens = context.sequence = static_cast<double>(tokens);
  context.training = false;
  const wl::OperatorGraph graph = layer_forward(config, config.layers[0], context);
  const std::vector<double> gain(32, 1.0);
  Meter norm, act;
  (void)rms_norm(random_matrix(tokens, 32, 1), gain, 1e-6, &norm);
  (void)swiglu(random_matrix(tokens, 2 * 48, 2), &act);
  CHECK(named(graph, "input_norm").bytes == norm.bytes);
  CHECK(named(graph, "ffn_norm").bytes == norm.bytes);
  CHECK(named(graph, "swiglu").bytes == act.bytes);
}

TEST_CASE("counting: distinct experts of random tokens are E (1 - (1 - k/E)^B) in the mean") {
  const RouterShape shape{64, 6, 1, 1, true};
  for (const long tokens : {1L, 4L, 16L, 64L}) {
    double sum = 0;
    const int rounds = 300;
    for (int r = 0; r < rounds; ++r) {
      const auto loads = random_routes(tokens, shape, 100 + static_cast<unsigned>(r)).loads(64);
      sum += static_cast<double>(
          std::count_if(loads.begin(), loads.end(), [](double l) { return l > 0; }));
    }
    const double claim = wl::expected_distinct_experts(64, 6, static_cast<double>(tokens));
    CAPTURE(tokens);
    CHECK(sum / rounds == doctest::Approx(claim).epsilon(0.01));
  }
}

TEST_CASE("counting: a token's copies go to as many ranks as the formula says, limit or none") {
  // V3's shape: 256 experts over 8 nodes, top 8: 5.29 nodes without a limit. Eight experts drawn at
  // random from four nodes touch 3.63. V3's router, on random logits, touches 3.97 of its four: a
  // group is chosen for its two best experts, so that hardly any chosen group goes unused.
  const auto mean_groups = [](const RouterShape& shape) {
    double sum = 0;
    const long tokens = 4000;
    const auto routes = random_routes(tokens, shape, 7);
    for (const auto& chosen : routes.experts) {
      std::set<long> groups;
      for (const long e : chosen) groups.insert(e / 32);
      sum += static_cast<double>(groups.size());
    }
    return sum / static_cast<double>(tokens);
  };
  CHECK(wl::expected_distinct_groups(256, 8, 8, 0) == doctest::Approx(5.29).epsilon(0.002));
  CHECK(mean_groups({256, 8, 1, 1, true}) == doctest::Approx(5.29).epsilon(0.01));
  CHECK(wl::expected_distinct_groups(256, 8, 8, 4) == doctest::Approx(3.63).epsilon(0.002));
  CHECK(mean_groups({128, 8, 1, 1, true}) == doctest::Approx(3.63).epsilon(0.01));
  const double limited = mean_groups({256, 8, 8, 4, true});
  CHECK(limited == doctest::Approx(3.97).epsilon(0.005));
  CHECK(limited < 4.0);
}

TEST_CASE("counting: weights read by a decode step of many sequences match in the mean") {
  // Sequences draw experts on their own; the graph claims the expectation.
  const auto config = toy();
  const Model<double> model(config, 3);
  for (const long sequences : {1L, 3L, 6L}) {
    double read = 0;
    const int rounds = 200;
    for (int r = 0; r < rounds; ++r) {
      const auto x = random_matrix(sequences, 32, 500 + static_cast<unsigned>(r));
      const RouterShape shape{8, 3, 1, 1, true};
      const auto& w = model.weights().layers[1];
      Meter meter;
      (void)moe(x, random_routes(sequences, shape, 900 + static_cast<unsigned>(r)), w.experts, {},
                &meter);
      read += meter.of(TensorClass::weights);
    }
    wl::MoeExperts experts;
    experts.tokens = static_cast<double>(sequences);
    experts.hidden = 32;
    experts.intermediate = 10;
    experts.top_k = 3;
    experts.experts = 8;
    experts.routing = wl::Routing::uniform;
    wl::Operator op;
    op.shape = experts;
    const double claim = work_of(op).bytes[static_cast<std::size_t>(TensorClass::weights)];
    CHECK(read / rounds == doctest::Approx(claim).epsilon(0.03));
  }
}
