// Lossless speculation, by exact enumeration where possible and by a test with stated power else.
#include "jevons/reference/speculation.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

using namespace jevons::reference;

namespace {

Distribution some(std::mt19937_64& random, std::size_t n, double sharpness) {
  std::normal_distribution<double> normal(0, sharpness);
  Distribution p(n);
  for (double& v : p) v = std::exp(normal(random));
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& v : p) v /= sum;
  return p;
}

/// Pearson's statistic of counts against expected shares.
double chi_square(const std::vector<double>& counts, const Distribution& p) {
  const double n = std::accumulate(counts.begin(), counts.end(), 0.0);
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    sum += (counts[i] - n * p[i]) * (counts[i] - n * p[i]) / (n * p[i]);
  }
  return sum;
}

}  // namespace

TEST_CASE("speculation: the rule's first token has exactly the model's distribution") {
  // Enumerated: P(x) = q(x) min(1, p/q) + P(refused) · residual(x) = p(x), for every x.
  std::mt19937_64 random(1);
  for (int round = 0; round < 50; ++round) {
    const Distribution p = some(random, 7, 1.5), q = some(random, 7, 1.5);
    const double kept = acceptance(q, p);
    double residual_sum = 0;
    for (std::size_t i = 0; i < 7; ++i) residual_sum += std::max(0.0, p[i] - q[i]);
    CHECK(residual_sum == doctest::Approx(1 - kept));
    for (std::size_t i = 0; i < 7; ++i) {
      const double by_draft = std::min(p[i], q[i]);
      const double by_residual = (1 - kept) * std::max(0.0, p[i] - q[i]) / residual_sum;
      CHECK(by_draft + by_residual == doctest::Approx(p[i]));
    }
  }
}

TEST_CASE("speculation: sampled pairs of tokens follow the model's joint distribution") {
  // 200,000 draws, 25 cells, seed fixed. At 24 degrees of freedom the 99.9 % point is 51.2; a
  // total-variation error of 0.01 would give a mean statistic above 80, so that the test refuses it
  // with power > 0.99. The first token decides the second's distributions, as in a real model.
  std::mt19937_64 random(2);
  constexpr std::size_t kTokens = 5;
  const Distribution p0 = some(random, kTokens, 1), q0 = some(random, kTokens, 1);
  std::vector<Distribution> p1, q1;
  for (std::size_t i = 0; i < kTokens; ++i) {
    p1.push_back(some(random, kTokens, 1));
    q1.push_back(some(random, kTokens, 1));
  }
  std::vector<double> pairs(kTokens * kTokens, 0.0);
  double accepted = 0;
  const int draws = 200'000;
  for (int i = 0; i < draws; ++i) {
    const long first = sample(q0, random);
    const auto f = static_cast<std::size_t>(first);
    const long second = sample(q1[f], random);
    const Verified v = verify_sampling({first, second}, {q0, q1[f]}, {p0, p1[f], p0}, random);
    accepted += v.accepted > 0 ? 1 : 0;
    const auto a = static_cast<std::size_t>(v.tokens[0]);
    // After a refusal the next step drafts and verifies afresh.
    long b = 0;
    if (v.tokens.size() > 1) {
      b = v.tokens[1];
    } else {
      const long draft = sample(q1[a], random);
      b = verify_sampling({draft}, {q1[a]}, {p1[a], p0}, random).tokens[0];
    }
    pairs[a * kTokens + static_cast<std::size_t>(b)] += 1;
  }
  Distribution joint;
  for (std::size_t a = 0; a < kTokens; ++a) {
    for (std::size_t b = 0; b < kTokens; ++b) joint.push_back(p0[a] * p1[a][b]);
  }
  CHECK(chi_square(pairs, joint) < 51.2);
  CHECK(accepted / draws == doctest::Approx(acceptance(q0, p0)).epsilon(0.01));
  // The same test sees through a rule that keeps every draft.
  std::vector<double> naive(kTokens, 0.0);
  for (int i = 0; i < draws; ++i) naive[static_cast<std::size_t>(sample(q0, random))] += 1;
  CHECK(chi_square(naive, p0) > 1000);
}

TEST_CASE("speculation: greedy verification says what greedy decoding would have said") {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<Distribution> target;
    std::vector<long> own, drafts;
    for (int i = 0; i < 4; ++i) {
      target.push_back(some(random, 6, 2));
      own.push_back(argmax(target.back()));
    }
    for (int i = 0; i < 3; ++i) {
      drafts.push_back(random() % 2 == 0 ? own[static_cast<std::size_t>(i)]
                                         : static_cast<long>(random() % 6));
    }
    const Verified v = verify_greedy(drafts, target);
    CHECK(static_cast<long>(v.tokens.size()) == v.accepted + 1);
    for (std::size_t i = 0; i < v.tokens.size(); ++i) CHECK(v.tokens[i] == own[i]);
    if (v.accepted < 3) {
      CHECK(drafts[static_cast<std::size_t>(v.accepted)] !=
            own[static_cast<std::size_t>(v.accepted)]);
    }
  }
}
