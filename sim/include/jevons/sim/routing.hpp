// Token-to-expert routing: how loads spread over experts and ranks, and what balancing does.
//
//   score of token t for expert e: sigmoid(popularity_e + noise), noise normal of `spread`
//   choice: top-k of score + bias_e, inside the group_limit groups whose best two scores add up
//           highest (node-limited routing)
//   aux loss:            popularity_e −= rate × (load_e / mean − 1)   (what its gradient does)
//   aux-loss-free bias:  bias_e += γ sign(mean − load_e), γ = 0.001
// Popularity before balancing is `skew` × a standard normal draw per expert (skew 0: uniform).
// Source: DeepSeek-V3 report, sections 2.1.2 and 4.2 (γ = 0.001 for 14.3T tokens); arXiv
// 2408.15664. Placement on ranks: experts in order, or redundant copies for the most loaded and
// longest-first packing into equal slots (DeepSeek EPLB). Known error: real popularity drifts with
// the text served; nothing here does.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace jevons::sim {

enum class Balancing { none, aux_loss, bias };

struct RoutingSpec {
  long experts = 256, top_k = 8;
  long groups = 1, group_limit = 1;  ///< limit = groups: no limit
  double skew = 0.5;                 ///< of the popularity logits
  double spread = 1.0;               ///< of a token's own preference
  Balancing balancing = Balancing::none;
  double bias_rate = 0.001;  ///< γ
  double aux_rate = 0.01;
  long tokens_per_step = 1024;
  std::uint64_t seed = 1;
};

struct RoutingLoads {
  std::vector<double> last;           ///< tokens per expert in the last step
  std::vector<double> total;          ///< over all steps
  std::vector<double> max_over_mean;  ///< per step, over experts
  double groups_per_token = 0;        ///< distinct groups a token visits, mean of the last step
};

[[nodiscard]] RoutingLoads simulate_routing(const RoutingSpec& spec, long steps);

/// max / mean; 1 when empty.
[[nodiscard]] double max_over_mean(std::span<const double> loads);

/// Load of each of `ranks` when experts lie on them in order.
[[nodiscard]] std::vector<double> rank_loads_in_order(std::span<const double> expert_loads,
                                                      long ranks);
/// With `redundant` copies: the expert with the highest load per copy gets the next one; copies
/// share their load; longest first into the least loaded rank with a free slot. experts + redundant
/// must be a multiple of ranks or slots are rounded up.
[[nodiscard]] std::vector<double> rank_loads_balanced(std::span<const double> expert_loads,
                                                      long ranks, long redundant);

/// Expected max/mean over `ranks` when popularity falls as rank^-skew over `experts`: in random
/// order without redundant copies (mean of 16 shuffles), balanced with them.
[[nodiscard]] double expected_imbalance(long experts, long ranks, long redundant, double skew);

/// Experts hit on the rank of `ranks` with most of them, when each rank holds `local`, hit
/// independently, and `mean` are hit in the mean: mean + z sqrt(mean (1 - mean / local)), z the
/// greatest of so many normal draws (Blom 1958). Within 10 % of uniform routing.
[[nodiscard]] double busiest_experts_hit(double mean, double local, double ranks);

}  // namespace jevons::sim
