// Verifying drafted tokens without changing what would have been said.
//
// Sampling (Leviathan et al. 2211.17192; Chen et al. 2302.01318): a draft x ~ q is kept with
// probability min(1, p(x)/q(x)); at the first refusal one token is drawn from max(0, p - q)
// normalised; if all are kept one more is drawn from the model itself. Every token then has the
// distribution p. Greedy: a draft is kept while it is the model's own argmax.
#pragma once

#include <random>
#include <vector>

namespace jevons::reference {

using Distribution = std::vector<double>;

[[nodiscard]] long argmax(const Distribution& p);
[[nodiscard]] long sample(const Distribution& p, std::mt19937_64& random);

struct Verified {
  std::vector<long> tokens;  ///< the kept drafts and one token of the model's own
  long accepted = 0;         ///< drafts kept
};
/// target has one distribution more than there are drafts: the one after the last.
[[nodiscard]] Verified verify_greedy(const std::vector<long>& drafts,
                                     const std::vector<Distribution>& target);
[[nodiscard]] Verified verify_sampling(const std::vector<long>& drafts,
                                       const std::vector<Distribution>& draft,
                                       const std::vector<Distribution>& target,
                                       std::mt19937_64& random);
/// Share of drafts that verify_sampling keeps: Σ min(p, q).
[[nodiscard]] double acceptance(const Distribution& draft, const Distribution& target);

}  // namespace jevons::reference
