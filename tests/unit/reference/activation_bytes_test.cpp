// Activation bytes of whole layers: what the reference moves against what the graph claims. They
// differ by named tensors alone, each with its closed form, because kernels fuse what the reference
// does in turn; nothing is left to a tolerance.
#include "random.hpp"
#include "toy.hpp"

#include "jevons/reference/model.hpp"

#include <doctest/doctest.h>

using namespace jevons::reference;
namespace wl = jevons::workloads;

namespace {

constexpr double kBytes = 2;  // of an element between operators

struct Sizes {
  double tokens, hidden, latent, rope, cached;
  Sizes(const wl::ModelConfig& config, const wl::Attention& a, long rows)
      : tokens(static_cast<double>(rows)),
        hidden(static_cast<double>(config.hidden)),
        latent(static_cast<double>(a.q_lora_rank)),
        rope(static_cast<double>(a.rope_dim)),
        cached(static_cast<double>(a.kind == wl::AttentionKind::mla
                                       ? a.kv_lora_rank + a.rope_dim
                                       : a.kv_heads * (a.qk_dim + a.v_dim))) {}
  /// Both down projections in one kernel read their input once.
  [[nodiscard]] double second_reading() const { return latent > 0 ? tokens * hidden : 0; }
};

/// Elements that the experts' part of a layer moves beside or below the claim.
/// - router: kernels write, score, rank and mask logits in 25 bytes a token and expert (measured
///   kernels); the reference writes them once, 2 bytes;
/// - un-permutation: the claim writes every copy, the reference sums a token's copies first.
double router_bytes(const wl::FeedForward& f, double tokens) {
  return f.kind == wl::FfnKind::moe ? (2 - 25) * tokens * static_cast<double>(f.experts) : 0;
}
double summed_copies(const wl::FeedForward& f, double tokens, double hidden) {
  return f.kind == wl::FfnKind::moe ? -tokens * static_cast<double>(f.top_k - 1) * hidden : 0;
}

}  // namespace

TEST_CASE("counting: a prefilled layer moves the activations that its graph claims, and these") {
  for (const auto& config : {toy(), toy(40, 0), toy_gqa()}) {
    const Model<double> model(config, 1);
    for (const long rows : {1L, 7L, 33L}) {
      wl::LayerContext context;
      context.tokens = context.sequence = static_cast<double>(rows);
      context.training = false;
      for (std::size_t i = 0; i < config.layers.size(); ++i) {
        CAPTURE(rows);
        CAPTURE(i);
        const wl::Layer& layer = config.layers[i];
        Matrix<double> cache;
        Meter meter;
        (void)model.layer(static_cast<long>(i), random_matrix(rows, config.hidden, 8), cache,
                          MlaMode::expanded, &meter);
        const Sizes s(config, layer.attention, rows);
        const double extra =
            s.second_reading()         //
            + 3 * s.tokens * s.rope    // the shared rotary key: turned, and read into every head
            + 2 * s.tokens * s.cached  // the cache written, which a training layer has not
            + summed_copies(layer.ffn, s.tokens, s.hidden);
        CHECK(meter.of(TensorClass::activations) ==
              claim_of(layer_forward(config, layer, context)).activations + kBytes * extra +
                  router_bytes(layer.ffn, s.tokens));
      }
    }
  }
}

TEST_CASE(
    "counting: an engine step's layer moves the activations that its graph claims, and these") {
  for (const auto& config : {toy(), toy(40, 0), toy_gqa()}) {
    const Model<double> model(config, 1);
    for (const long rows : {1L, 3L}) {
      for (const long past : {1L, 20L}) {
        wl::DecodeContext step;
        step.query_tokens = static_cast<double>(rows);
        step.context = static_cast<double>(past) + static_cast<double>(1 + rows) / 2;
        for (std::size_t i = 0; i < config.layers.size(); ++i) {
          CAPTURE(rows);
          CAPTURE(past);
          CAPTURE(i);
          const wl::Layer& layer = config.layers[i];
          Matrix<double> cache;
          (void)model.layer(static_cast<long>(i), random_matrix(past, config.hidden, 7), cache,
                            MlaMode::absorbed);
          Meter meter;
          (void)model.layer(static_cast<long>(i), random_matrix(rows, config.hidden, 8), cache,
                            MlaMode::absorbed, &meter);
          const Sizes s(config, layer.attention, rows);
          const double extra =
              s.second_reading()         //
              + 2 * s.tokens * s.rope    // the shared rotary key turned before it is appended
              + 2 * s.tokens * s.hidden  // residual additions apart from the norms after them
              + summed_copies(layer.ffn, s.tokens, s.hidden);
          CHECK(meter.of(TensorClass::activations) ==
                claim_of(layer_decode(config, layer, step)).activations + kBytes * extra +
                    router_bytes(layer.ffn, s.tokens));
        }
      }
    }
  }
}
