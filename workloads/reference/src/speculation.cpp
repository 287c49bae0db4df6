#include "jevons/reference/speculation.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>
#include <numeric>

namespace jevons::reference {
namespace {

double uniform(std::mt19937_64& random) {
  return static_cast<double>(random() >> 11) * 0x1.0p-53;
}

/// What is left of p where q is below it, normalised.
Distribution residual(const Distribution& p, const Distribution& q) {
  Distribution rest(p.size());
  for (std::size_t i = 0; i < p.size(); ++i) rest[i] = std::max(0.0, p[i] - q[i]);
  const double sum = std::accumulate(rest.begin(), rest.end(), 0.0);
  if (sum <= 0) return p;  // p = q: a refusal has probability 0
  for (double& r : rest) r /= sum;
  return rest;
}

void require(bool ok) {
  if (!ok) throw Error(ErrorKind::internal, "reference kernels", "verify: sizes differ");
}

}  // namespace

long argmax(const Distribution& p) {
  return std::max_element(p.begin(), p.end()) - p.begin();
}

long sample(const Distribution& p, std::mt19937_64& random) {
  double left = uniform(random);
  for (std::size_t i = 0; i < p.size(); ++i) {
    left -= p[i];
    if (left < 0) return static_cast<long>(i);
  }
  return argmax(p);
}

Verified verify_greedy(const std::vector<long>& drafts, const std::vector<Distribution>& target) {
  require(target.size() == drafts.size() + 1);
  Verified out;
  for (std::size_t i = 0; i < target.size(); ++i) {
    const long own = argmax(target[i]);
    out.tokens.push_back(own);
    if (i == drafts.size() || drafts[i] != own) break;
    ++out.accepted;
  }
  return out;
}

Verified verify_sampling(const std::vector<long>& drafts, const std::vector<Distribution>& draft,
                         const std::vector<Distribution>& target, std::mt19937_64& random) {
  require(target.size() == drafts.size() + 1 && draft.size() == drafts.size());
  Verified out;
  for (std::size_t i = 0; i < drafts.size(); ++i) {
    const auto x = static_cast<std::size_t>(drafts[i]);
    if (uniform(random) * draft[i][x] >= target[i][x]) {
      out.tokens.push_back(sample(residual(target[i], draft[i]), random));
      return out;
    }
    out.tokens.push_back(drafts[i]);
    ++out.accepted;
  }
  out.tokens.push_back(sample(target.back(), random));
  return out;
}

double acceptance(const Distribution& draft, const Distribution& target) {
  double sum = 0;
  for (std::size_t i = 0; i < draft.size(); ++i) sum += std::min(draft[i], target[i]);
  return sum;
}

}  // namespace jevons::reference
