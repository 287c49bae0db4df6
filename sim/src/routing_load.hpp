// Load of the most loaded expert-parallel rank: rows, active experts, tiles.
//
// balanced: slot j of token t goes to expert (t + j stride) mod E (what the kernel tables mean).
// power law: expert popularity has density x^-a on [lo, hi] = [1, 0.8 T] if T k > E, else
//   [0.01, 2]; the rank with the largest sum is timed; closed form by the Cornish-Fisher expansion
//   of the largest of ep sums of g draws (facts in the comments of the .cpp). Against simulation
//   (3,000 cases): R 0.89-1.12 (P5-P95), A median 1.00.
// uniform: independent draws with equal chances; a measured max/mean replaces the imbalance of any
//   routing but the power law's, whose shape it keeps.
#pragma once

#include "jevons/workloads/operators.hpp"

namespace jevons::sim {

struct RankLoad {
  double rows = 0;           ///< token copies on the rank
  double active = 0;         ///< experts with at least one row
  double max_over_mean = 1;  ///< rows over the mean of all ranks
  bool even = false;         ///< every active expert has the same rows

  /// Row tiles of height bm over all active experts.
  [[nodiscard]] double tiles(double bm) const;
};

[[nodiscard]] RankLoad rank_load(const workloads::MoeExperts& shape);

/// Quantile of the standard normal distribution (Acklam's rational form, error < 1.2e-9).
[[nodiscard]] double normal_quantile(double p);

}  // namespace jevons::sim
