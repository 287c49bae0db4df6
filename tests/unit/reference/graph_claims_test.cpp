// The operator graphs of whole layers against the counts of the reference, exactly: FLOPs, weight
// and cache bytes, over shapes that divide nothing.
#include "random.hpp"
#include "toy.hpp"

#include "jevons/reference/backward.hpp"
#include "jevons/reference/model.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace jevons::reference;
namespace wl = jevons::workloads;

namespace {

/// Weight bytes: which experts are hit is the router's doing, so that the reference may differ from
/// the expectation in the graph by whole experts alone.
void check_weights(const wl::ModelConfig& config, const wl::Layer& layer,
                   const wl::OperatorGraph& graph, double measured, long tokens) {
  double fixed = claim_of(graph).weights;
  if (layer.ffn.kind != wl::FfnKind::moe) {
    CHECK(measured == fixed);
    return;
  }
  for (const wl::Operator& op : graph.operators) {
    if (!std::holds_alternative<wl::MoeExperts>(op.shape)) continue;
    fixed -= work_of(op).bytes[static_cast<std::size_t>(TensorClass::weights)];
  }
  const double hit =
      (measured - fixed) / static_cast<double>(2 * 3 * config.hidden * layer.ffn.intermediate);
  CHECK(std::abs(hit - std::round(hit)) < 1e-9);
  CHECK(std::round(hit) >= static_cast<double>(layer.ffn.top_k));
  CHECK(std::round(hit) <=
        static_cast<double>(std::min(layer.ffn.experts, layer.ffn.top_k * tokens)));
}

wl::ModelConfig without_window(wl::ModelConfig config) {
  for (wl::Layer& layer : config.layers) layer.attention.window = 0;
  return config;
}

/// `rows` tokens that follow `past` others through one layer.
Meter counted(const Model<double>& model, long index, long past, long rows, MlaMode mode) {
  Matrix<double> cache;
  const long hidden = model.config().hidden;
  if (past > 0) (void)model.layer(index, random_matrix(past, hidden, 7), cache, mode);
  Meter meter;
  (void)model.layer(index, random_matrix(rows, hidden, 8), cache, mode, &meter);
  return meter;
}

}  // namespace

TEST_CASE(
    "counting: a prefill does exactly what the graph claims, for ragged lengths and windows") {
  for (const auto& config : {toy(), toy(40, 0), toy_gqa(), without_window(toy_gqa())}) {
    const Model<double> model(config, 1);
    for (const long tokens : {1L, 2L, 5L, 6L, 17L, 64L}) {
      wl::LayerContext context;
      context.tokens = context.sequence = static_cast<double>(tokens);
      context.training = false;
      for (std::size_t i = 0; i < config.layers.size(); ++i) {
        CAPTURE(tokens);
        CAPTURE(i);
        const Meter meter = counted(model, static_cast<long>(i), 0, tokens, MlaMode::expanded);
        const auto graph = layer_forward(config, config.layers[i], context);
        CHECK(meter.flops() == claim_of(graph).flops);
        // The published count leaves out half a key for each query whose window is not yet full.
        const wl::Attention& a = config.layers[i].attention;
        const long ramp = a.window > 0 ? std::min(a.window, tokens) : tokens;
        const double half = static_cast<double>(ramp * a.heads * (a.qk_dim + a.v_dim));
        CHECK(claim_of(graph, wl::Counting::published).flops ==
              doctest::Approx(meter.flops() - half).epsilon(1e-13));
        check_weights(config, config.layers[i], graph, meter.of(TensorClass::weights), tokens);
      }
    }
  }
}

TEST_CASE("counting: a step of one or more query tokens does and reads what the graph claims") {
  for (const auto& config : {toy(), toy(40, 0), toy_gqa(), without_window(toy_gqa())}) {
    const Model<double> model(config, 1);
    for (const long drafts : {0L, 1L, 2L, 5L}) {
      for (const long past : {0L, 1L, 3L, 4L, 6L, 29L}) {
        const long rows = 1 + drafts;
        wl::DecodeContext step;
        step.query_tokens = static_cast<double>(rows);
        step.context = static_cast<double>(past) + static_cast<double>(1 + rows) / 2;
        for (std::size_t i = 0; i < config.layers.size(); ++i) {
          CAPTURE(drafts);
          CAPTURE(past);
          CAPTURE(i);
          const Meter meter = counted(model, static_cast<long>(i), past, rows, MlaMode::absorbed);
          const auto graph = layer_decode(config, config.layers[i], step);
          CHECK(meter.flops() == claim_of(graph).flops);
          if (past > 0) CHECK(meter.of(TensorClass::kv_cache) == claim_of(graph).kv_cache);
          check_weights(config, config.layers[i], graph, meter.of(TensorClass::weights), rows);
        }
      }
    }
  }
}

TEST_CASE("counting: a chunk of a prompt does what the graph claims, absorbed or expanded") {
  bool absorbed = false, expanded = false;
  for (const auto& config : {toy(), toy(40, 0), without_window(toy_gqa())}) {
    const Model<double> model(config, 1);
    for (const long past : {0L, 1L, 10L, 33L}) {
      for (const long rows : {1L, 2L, 9L, 30L}) {
        wl::DecodeContext step;
        step.sequences = 0;
        step.prefill_tokens = static_cast<double>(rows);
        step.prefill_position = static_cast<double>(past) + static_cast<double>(rows) / 2;
        for (std::size_t i = 0; i < config.layers.size(); ++i) {
          CAPTURE(past);
          CAPTURE(rows);
          CAPTURE(i);
          const wl::Attention& a = config.layers[i].attention;
          const bool cheaper =
              a.kind == wl::AttentionKind::mla &&
              mla_absorbed_is_cheaper(a, step.prefill_tokens, step.prefill_position);
          (cheaper ? absorbed : expanded) = true;
          const Meter meter = counted(model, static_cast<long>(i), past, rows,
                                      cheaper ? MlaMode::absorbed : MlaMode::expanded);
          const auto graph = layer_decode(config, config.layers[i], step);
          CHECK(meter.flops() == claim_of(graph).flops);
          if (cheaper) CHECK(meter.of(TensorClass::kv_cache) == claim_of(graph).kv_cache);
          check_weights(config, config.layers[i], graph, meter.of(TensorClass::weights), rows);
        }
      }
    }
  }
  CHECK(absorbed);
  CHECK(expanded);
}

TEST_CASE("counting: a layer's backward pass does exactly what the backward graph claims") {
  // Two products for each of the forward's, five for attention's two.
  for (const long q_rank : {20L, 0L}) {
    const auto config = toy(40, q_rank);
    const Model<double> model(config, 1);
    for (const long tokens : {1L, 7L, 48L}) {
      wl::LayerContext context;
      context.tokens = context.sequence = static_cast<double>(tokens);
      for (const long index : {0L, 1L}) {
        Meter meter;
        (void)layer_backward(model, index, random_matrix(tokens, 32, 5),
                             random_matrix(tokens, 32, 6), &meter);
        const wl::Layer& layer = config.layers[static_cast<std::size_t>(index)];
        CHECK(meter.flops() == claim_of(layer_backward(config, layer, context)).flops);
      }
    }
  }
}
