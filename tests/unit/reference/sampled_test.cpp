// Sampling through the whole toy model with MTP drafts, against the exact chances of every text.
#include "toy.hpp"

#include "jevons/reference/elementwise.hpp"
#include "jevons/reference/model.hpp"
#include "jevons/reference/speculation.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace jevons::reference;

namespace {

constexpr long kVocab = 4, kLength = 3, kTexts = 64;
constexpr std::size_t kPairs = 16;

Distribution chances(const Model<double>& model, const Matrix<double>& hidden) {
  Matrix<double> logits = model.logits(slice_rows(hidden, hidden.rows() - 1, 1));
  softmax_rows(logits);
  return logits.data();
}

Distribution after(const Model<double>& model, const std::vector<long>& text) {
  Cache<double> cache;
  return chances(model, model.hidden(text, cache, MlaMode::expanded));
}

/// What the MTP module thinks of the token after `text`, whose last token it is told.
Distribution drafted(const Model<double>& model, const std::vector<long>& text) {
  Cache<double> cache, drafts;
  const auto h = model.hidden({text.begin(), text.end() - 1}, cache, MlaMode::expanded);
  return chances(model,
                 model.mtp_hidden(0, h, {text.begin() + 1, text.end()}, drafts, MlaMode::expanded));
}

std::size_t cell(const std::vector<long>& tokens) {
  long at = 0;
  for (const long t : tokens) at = at * kVocab + t;
  return static_cast<std::size_t>(at);
}

/// Chances of all texts of `length` tokens after the prompt, by walking the tree.
Distribution exact(const Model<double>& model, const std::vector<long>& prompt, long length) {
  Distribution out{1.0};
  std::vector<std::vector<long>> texts{prompt};
  for (long i = 0; i < length; ++i) {
    Distribution next;
    std::vector<std::vector<long>> longer;
    for (std::size_t t = 0; t < texts.size(); ++t) {
      const Distribution p = after(model, texts[t]);
      for (long x = 0; x < kVocab; ++x) {
        next.push_back(out[t] * p[static_cast<std::size_t>(x)]);
        longer.push_back(texts[t]);
        longer.back().push_back(x);
      }
    }
    out = std::move(next);
    texts = std::move(longer);
  }
  return out;
}

double chi_square(const std::vector<double>& counts, const Distribution& p, double draws) {
  double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    sum += (counts[i] - draws * p[i]) * (counts[i] - draws * p[i]) / (draws * p[i]);
  }
  return sum;
}

}  // namespace

// Texts of three tokens over a vocabulary of four: 64 cells, 63 degrees of freedom, two models of
// different weights and prompts, whose statistics add up: 126 degrees, 99.9 % point 181.0. If the
// drafted texts were off by a total variation of 0.06 in each, the statistic's non-centrality would
// be at least 4 n 0.06² = 86 a model with n = 6000 draws; its mean 299 and deviation 31 leave a
// power above 0.999. Seeds are fixed.
TEST_CASE("speculation: texts sampled with MTP drafts have the toy model's own distribution") {
  const double draws = 6000;
  double statistic = 0, plain = 0;
  for (const unsigned seed : {3U, 8U}) {
    const Model<double> model(toy(kVocab), seed);
    const std::vector<long> prompt{1, static_cast<long>(seed % 4), 2};
    const Distribution p = exact(model, prompt, kLength);
    std::mt19937_64 random(seed);
    std::vector<double> counts(kTexts, 0.0), plain_counts(kTexts, 0.0);
    long accepted = 0, offered = 0;
    for (int i = 0; i < static_cast<int>(draws); ++i) {
      const Generated text = generate_with_mtp(model, prompt, kLength, &random);
      counts[cell(text.tokens)] += 1;
      accepted += text.accepted;
      offered += text.drafted;
    }
    for (int i = 0; i < static_cast<int>(draws) / 4; ++i) {
      plain_counts[cell(generate(model, prompt, kLength, &random).tokens)] += 1;
    }
    statistic += chi_square(counts, p, draws);
    plain += chi_square(plain_counts, p, draws / 4);
    CHECK(accepted > offered / 4);  // both ways out of verification were taken often
    CHECK(accepted < offered * 9 / 10);
  }
  CHECK(statistic < 181.0);
  CHECK(plain < 181.0);
}

TEST_CASE("speculation: the toy model's drafts unverified are told from its own text") {
  // What the test above would see of a rule that keeps every draft, and how often drafts are kept.
  const Model<double> model(toy(kVocab), 3);
  const std::vector<long> prompt{1, 3, 2};
  const Distribution first = after(model, prompt), pairs = exact(model, prompt, 2);
  Distribution naive(kPairs);
  double kept = 0, distance = 0;
  for (long a = 0; a < kVocab; ++a) {
    auto text = prompt;
    text.push_back(a);
    const Distribution p = after(model, text), q = drafted(model, text);
    kept += first[static_cast<std::size_t>(a)] * acceptance(q, p);
    for (std::size_t b = 0; b < 4; ++b) {
      const std::size_t at = static_cast<std::size_t>(a) * 4 + b;
      naive[at] = first[static_cast<std::size_t>(a)] * q[b];
      distance += std::abs(naive[at] - pairs[at]) / 2;
    }
  }
  CHECK(distance > 0.06);
  CHECK(distance == doctest::Approx(1 - kept));
  std::mt19937_64 random(5);
  std::vector<double> counts(kPairs, 0.0);
  double accepted = 0;
  const int draws = 3000;
  for (int i = 0; i < draws; ++i) {
    counts[static_cast<std::size_t>(sample(naive, random))] += 1;
    accepted += static_cast<double>(generate_with_mtp(model, prompt, 2, &random).accepted);
  }
  CHECK(chi_square(counts, pairs, draws) > 200);  // 15 degrees of freedom: 37.7 at 99.9 %
  // Binomial: deviation at most 0.0091.
  CHECK(std::abs(accepted / draws - kept) < 0.03);
}
