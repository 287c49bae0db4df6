// A V3-shaped toy through all its code paths, and its counts against the graphs of the cost model.
#include "jevons/reference/model.hpp"

#include "random.hpp"
#include "toy.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace jevons::reference;
namespace wl = jevons::workloads;

TEST_CASE("toy model: decoding token by token gives the prompt's own logits") {
  for (const auto& config : {toy(), toy(40, 0), toy_gqa()}) {
    const Model<double> model(config, 1);
    const auto tokens = some_tokens(11, config.vocab);
    Cache<double> prompt, growing;
    const auto expected = model.logits(model.hidden(tokens, prompt, MlaMode::expanded));
    for (long t = 0; t < 11; ++t) {
      const auto h =
          model.hidden({tokens[static_cast<std::size_t>(t)]}, growing, MlaMode::absorbed);
      CHECK(largest_difference(model.logits(h), slice_rows(expected, t, 1)) < 1e-11);
    }
    // Chunked prefill: 5 + 4 + 2 tokens.
    Cache<double> chunks;
    long done = 0;
    for (const long size : {5L, 4L, 2L}) {
      const auto h = model.hidden({tokens.begin() + done, tokens.begin() + done + size}, chunks,
                                  MlaMode::expanded);
      CHECK(largest_difference(model.logits(h), slice_rows(expected, done, size)) < 1e-11);
      done += size;
    }
  }
}

TEST_CASE("toy model: float agrees with double to float's rounding") {
  const Model<double> exact(toy(), 3);
  const Model<float> single(toy(), 3);
  Cache<double> a;
  Cache<float> b;
  const auto tokens = some_tokens(6, 40);
  const auto x = exact.logits(exact.hidden(tokens, a, MlaMode::expanded));
  const auto y = single.logits(single.hidden(tokens, b, MlaMode::absorbed));
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    worst = std::max(worst, std::abs(x.data()[i] - static_cast<double>(y.data()[i])));
  }
  CHECK(worst < 2e-5);
  CHECK(worst > 0);
}

TEST_CASE("toy model: MTP with verification says exactly what greedy decoding says") {
  long accepted = 0, refused = 0;
  for (unsigned seed = 0; seed < 12; ++seed) {
    const Model<double> model(toy(4), seed);  // four tokens: drafts are right now and then
    const auto plain = generate(model, {1, 2, 0, 3}, 30);
    const auto fast = generate_with_mtp(model, {1, 2, 0, 3}, 30);
    CHECK(fast.tokens == plain.tokens);
    CHECK(fast.steps <= plain.steps);
    accepted += fast.accepted;
    refused += fast.drafted - fast.accepted;
  }
  CHECK(accepted > 20);  // both ways out of verification were taken
  CHECK(refused > 20);
}

TEST_CASE("counting: a whole prefill is 2 N_mm a token, router and attention apart") {
  const auto config = toy();
  const Model<double> model(config, 2);
  const long tokens = 16;
  Meter meter;
  Cache<double> cache;
  (void)model.logits(model.hidden(some_tokens(tokens, 40), cache, MlaMode::expanded, &meter),
                     &meter);
  const wl::ModelCounts c = count(config);
  const double pairs = 16 * 17 / 2.0;
  const double attention = 3 * pairs * 4 * (12 + 6);  // three layers, four heads
  CHECK(meter.multiply_adds ==
        static_cast<double>(tokens) * (c.matmul_parameters + c.router_parameters) + attention);
  // The MTP module: one more layer, its projection and the shared head.
  Meter extra;
  Cache<double> draft;
  const auto h = model.hidden(some_tokens(tokens, 40), draft, MlaMode::expanded);
  Cache<double> mtp;
  (void)model.logits(
      model.mtp_hidden(0, h, some_tokens(tokens, 40), mtp, MlaMode::expanded, &extra), &extra);
  const wl::Layer& layer = mtp_layer(config);
  const double parameters = attention_parameters(config, layer.attention) +
                            ffn_matmul_parameters(config, layer.ffn) +
                            router_parameters(config, layer.ffn) + 2.0 * 32 * 32 + 40.0 * 32;
  CHECK(extra.multiply_adds == static_cast<double>(tokens) * parameters + pairs * 4 * (12 + 6));
}
