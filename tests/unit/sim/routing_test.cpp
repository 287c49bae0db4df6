#include "jevons/sim/routing.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <random>
#include <vector>

using namespace jevons::sim;

namespace {

RoutingSpec small(Balancing balancing) {
  RoutingSpec spec;
  spec.experts = 64;
  spec.top_k = 4;
  spec.skew = 0.8;
  spec.tokens_per_step = 1024;
  spec.balancing = balancing;
  return spec;
}

double late(const RoutingLoads& loads) {
  double sum = 0;
  const std::size_t n = loads.max_over_mean.size();
  for (std::size_t i = n - 20; i < n; ++i) sum += loads.max_over_mean[i] / 20;
  return sum;
}

}  // namespace

TEST_CASE("routing: every token lands on top-k experts") {
  const RoutingLoads loads = simulate_routing(small(Balancing::none), 3);
  CHECK(std::accumulate(loads.total.begin(), loads.total.end(), 0.0) == 3 * 1024 * 4);
}

TEST_CASE("routing: the bias rule brings max/mean down over steps, without it nothing changes") {
  RoutingSpec bias = small(Balancing::bias);
  bias.bias_rate = 0.001;
  const RoutingLoads balanced = simulate_routing(bias, 300);
  const RoutingLoads none = simulate_routing(small(Balancing::none), 60);
  CHECK(none.max_over_mean.front() > 2.5);
  CHECK(late(none) == doctest::Approx(none.max_over_mean.front()).epsilon(0.1));
  CHECK(balanced.max_over_mean.front() == doctest::Approx(none.max_over_mean.front()));
  CHECK(balanced.max_over_mean[150] < balanced.max_over_mean[50]);
  CHECK(late(balanced) < 1.0 + 0.35 * (none.max_over_mean.front() - 1.0));
}

TEST_CASE("routing: an auxiliary loss balances too, faster with a larger rate") {
  RoutingSpec weak = small(Balancing::aux_loss), strong = weak;
  strong.aux_rate = 0.05;
  const double by_weak = late(simulate_routing(weak, 60));
  const double by_strong = late(simulate_routing(strong, 60));
  CHECK(by_strong < by_weak);
  CHECK(by_weak < simulate_routing(weak, 1).max_over_mean[0]);
}

TEST_CASE(
    "routing: with a limit of 4 of 8 groups a token visits at most 4, and more than of 4 groups "
    "drawn blindly") {
  RoutingSpec spec;  // DeepSeek-V3: 8 of 256 experts in 8 groups, uniform
  spec.groups = 8;
  spec.group_limit = 4;
  spec.skew = 0;
  spec.tokens_per_step = 400;
  const RoutingLoads limited = simulate_routing(spec, 1);
  // Four groups drawn blindly: T (1 - C(E/G (T-1), k) / C(E/G T, k)) = 3.63. The router takes the
  // groups of the best scores, so their best experts are chosen more often and fewer groups stay
  // empty.
  CHECK(limited.groups_per_token <= 4.0);
  CHECK(limited.groups_per_token > 3.63);
  spec.group_limit = 8;
  CHECK(simulate_routing(spec, 1).groups_per_token == doctest::Approx(5.295).epsilon(0.03));
}

TEST_CASE("routing: redundant copies and packing level ranks that random placement leaves uneven") {
  const double random = expected_imbalance(256, 32, 0, 0.5);
  const double balanced = expected_imbalance(256, 32, 32, 0.5);
  CHECK(random > 1.25);
  CHECK(balanced < 1.05);
  CHECK(expected_imbalance(256, 32, 0, 0.0) == 1.0);
}

TEST_CASE("routing: balanced placement keeps the whole load") {
  const RoutingLoads loads = simulate_routing(small(Balancing::none), 1);
  const auto ranks = rank_loads_balanced(loads.last, 8, 8);
  CHECK(std::accumulate(ranks.begin(), ranks.end(), 0.0) == doctest::Approx(1024 * 4));
  CHECK(max_over_mean(ranks) < max_over_mean(rank_loads_in_order(loads.last, 8)));
}

TEST_CASE("routing: the rank with most experts hit, against draws of uniform routing") {
  std::mt19937_64 random(7);
  // Experts, chosen per token, ranks, tokens.
  for (const auto& [experts, top, ranks, tokens] : {std::array<int, 4>{16, 1, 4, 8},
                                                    {16, 1, 8, 8},
                                                    {16, 1, 8, 32},
                                                    {128, 8, 8, 8},
                                                    {128, 8, 8, 32},
                                                    {256, 8, 8, 16},
                                                    {128, 8, 2, 8}}) {
    CAPTURE(experts);
    CAPTURE(ranks);
    CAPTURE(tokens);
    const auto e = static_cast<std::size_t>(experts), local = e / static_cast<std::size_t>(ranks);
    constexpr int kTrials = 2000;
    double mean = 0, most = 0;
    std::vector<std::size_t> order(e);
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (int trial = 0; trial < kTrials; ++trial) {
      std::vector<char> hit(e, 0);
      for (int t = 0; t < tokens; ++t) {
        for (std::size_t k = 0; k < static_cast<std::size_t>(top); ++k) {
          std::swap(order[k], order[k + random() % (e - k)]);
          hit[order[k]] = 1;
        }
      }
      long busiest = 0;
      for (std::size_t r = 0; r < static_cast<std::size_t>(ranks); ++r) {
        const auto from = hit.begin() + static_cast<std::ptrdiff_t>(r * local);
        const long here = std::count(from, from + static_cast<std::ptrdiff_t>(local), 1);
        mean += static_cast<double>(here) / ranks / kTrials;
        busiest = std::max(busiest, here);
      }
      most += static_cast<double>(busiest) / kTrials;
    }
    CHECK(busiest_experts_hit(mean, static_cast<double>(local), ranks) ==
          doctest::Approx(most).epsilon(0.1));
  }
  CHECK(busiest_experts_hit(3, 4, 1) == 3);
}
