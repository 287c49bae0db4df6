#include "jevons/sim/routing.hpp"

#include "jevons/sim/requests.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace jevons::sim {
namespace {

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

/// Marks the experts of one token; `scores` with bias.
class TopK {
 public:
  explicit TopK(const RoutingSpec& spec)
      : spec_(spec),
        order_(static_cast<std::size_t>(spec.experts)),
        group_score_(static_cast<std::size_t>(spec.groups)) {}

  /// The chosen experts, in no particular order.
  std::span<const std::size_t> choose(std::span<const double> scores) {
    order_.resize(scores.size());
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    if (spec_.group_limit < spec_.groups) keep_best_groups(scores);
    const auto k = static_cast<std::ptrdiff_t>(spec_.top_k);
    std::nth_element(order_.begin(), order_.begin() + k - 1, order_.end(),
                     [&](std::size_t a, std::size_t b) {
                       return scores[a] != scores[b] ? scores[a] > scores[b] : a < b;
                     });
    return {order_.data(), static_cast<std::size_t>(k)};
  }

  [[nodiscard]] std::size_t group_of(std::size_t expert) const {
    return expert * static_cast<std::size_t>(spec_.groups) /
           static_cast<std::size_t>(spec_.experts);
  }

 private:
  void keep_best_groups(std::span<const double> scores) {
    // A group is as good as its two best experts together.
    std::vector<double> first(group_score_.size(), -1e300), second(first);
    for (std::size_t e = 0; e < scores.size(); ++e) {
      const std::size_t g = group_of(e);
      if (scores[e] > first[g]) {
        second[g] = first[g];
        first[g] = scores[e];
      } else {
        second[g] = std::max(second[g], scores[e]);
      }
    }
    std::vector<std::size_t> groups(group_score_.size());
    std::iota(groups.begin(), groups.end(), std::size_t{0});
    for (std::size_t g = 0; g < groups.size(); ++g) group_score_[g] = first[g] + second[g];
    std::sort(groups.begin(), groups.end(), [&](std::size_t a, std::size_t b) {
      return group_score_[a] != group_score_[b] ? group_score_[a] > group_score_[b] : a < b;
    });
    std::vector<char> kept(groups.size(), 0);
    for (long i = 0; i < spec_.group_limit; ++i) kept[groups[static_cast<std::size_t>(i)]] = 1;
    std::erase_if(order_, [&](std::size_t e) { return kept[group_of(e)] == 0; });
  }

  const RoutingSpec& spec_;
  std::vector<std::size_t> order_;
  std::vector<double> group_score_;
};

void update(const RoutingSpec& spec, std::span<const double> loads, std::vector<double>& bias,
            std::vector<double>& popularity) {
  const double mean =
      std::accumulate(loads.begin(), loads.end(), 0.0) / static_cast<double>(loads.size());
  for (std::size_t e = 0; e < loads.size(); ++e) {
    if (spec.balancing == Balancing::bias) {
      const double sign = loads[e] < mean ? 1.0 : loads[e] > mean ? -1.0 : 0.0;
      bias[e] += spec.bias_rate * sign;
    } else if (spec.balancing == Balancing::aux_loss) {
      popularity[e] -= spec.aux_rate * (loads[e] / mean - 1);
    }
  }
}

}  // namespace

RoutingLoads simulate_routing(const RoutingSpec& spec, long steps) {
  const auto experts = static_cast<std::size_t>(spec.experts);
  Pcg32 random(spec.seed, 7);
  std::vector<double> popularity(experts), bias(experts, 0.0), scores(experts);
  for (double& p : popularity) p = spec.skew * random.normal();
  RoutingLoads out;
  out.total.assign(experts, 0.0);
  TopK top(spec);
  for (long step = 0; step < steps; ++step) {
    out.last.assign(experts, 0.0);
    double visited = 0;
    for (long t = 0; t < spec.tokens_per_step; ++t) {
      for (std::size_t e = 0; e < experts; ++e) {
        scores[e] = sigmoid(popularity[e] + spec.spread * random.normal()) + bias[e];
      }
      std::vector<char> groups(static_cast<std::size_t>(spec.groups), 0);
      for (const std::size_t e : top.choose(scores)) {
        out.last[e] += 1;
        groups[top.group_of(e)] = 1;
      }
      visited += static_cast<double>(std::count(groups.begin(), groups.end(), 1));
    }
    for (std::size_t e = 0; e < experts; ++e) out.total[e] += out.last[e];
    out.groups_per_token = visited / static_cast<double>(spec.tokens_per_step);
    out.max_over_mean.push_back(max_over_mean(out.last));
    update(spec, out.last, bias, popularity);
  }
  return out;
}

double max_over_mean(std::span<const double> loads) {
  const double sum = std::accumulate(loads.begin(), loads.end(), 0.0);
  if (loads.empty() || sum <= 0) return 1;
  return *std::max_element(loads.begin(), loads.end()) * static_cast<double>(loads.size()) / sum;
}

std::vector<double> rank_loads_in_order(std::span<const double> expert_loads, long ranks) {
  std::vector<double> loads(static_cast<std::size_t>(ranks), 0.0);
  for (std::size_t e = 0; e < expert_loads.size(); ++e) {
    loads[e * loads.size() / expert_loads.size()] += expert_loads[e];
  }
  return loads;
}

std::vector<double> rank_loads_balanced(std::span<const double> expert_loads, long ranks,
                                        long redundant) {
  const std::size_t experts = expert_loads.size();
  std::vector<double> copies(experts, 1.0);
  for (long i = 0; i < redundant; ++i) {
    std::size_t hottest = 0;
    for (std::size_t e = 1; e < experts; ++e) {
      if (expert_loads[e] / copies[e] > expert_loads[hottest] / copies[hottest]) hottest = e;
    }
    copies[hottest] += 1;
  }
  std::vector<double> pieces;
  for (std::size_t e = 0; e < experts; ++e) {
    pieces.insert(pieces.end(), static_cast<std::size_t>(copies[e]), expert_loads[e] / copies[e]);
  }
  std::sort(pieces.begin(), pieces.end(), std::greater<>());
  const auto n = static_cast<std::size_t>(ranks);
  const std::size_t slots = (pieces.size() + n - 1) / n;
  std::vector<double> loads(n, 0.0);
  std::vector<std::size_t> used(n, 0);
  for (const double piece : pieces) {
    std::size_t best = n;
    for (std::size_t r = 0; r < n; ++r) {
      if (used[r] < slots && (best == n || loads[r] < loads[best])) best = r;
    }
    loads[best] += piece;
    used[best] += 1;
  }
  return loads;
}

double expected_imbalance(long experts, long ranks, long redundant, double skew) {
  if (ranks <= 1 || skew <= 0) return 1;
  std::vector<double> loads(static_cast<std::size_t>(experts));
  for (std::size_t e = 0; e < loads.size(); ++e) {
    loads[e] = std::pow(static_cast<double>(e) + 1, -skew);
  }
  if (redundant > 0) return max_over_mean(rank_loads_balanced(loads, ranks, redundant));
  constexpr int kShuffles = 16;
  Pcg32 random(20408, 11);
  double sum = 0;
  for (int i = 0; i < kShuffles; ++i) {
    for (std::size_t e = loads.size() - 1; e > 0; --e) {
      const auto other = static_cast<std::size_t>(random.uniform() * static_cast<double>(e + 1));
      std::swap(loads[e], loads[std::min(other, e)]);
    }
    sum += max_over_mean(rank_loads_in_order(loads, ranks));
  }
  return sum / kShuffles;
}

}  // namespace jevons::sim
