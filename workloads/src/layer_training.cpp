// One layer, the embedding, the head and an MTP module as forward and backward graphs, and the
// per-step operators of the optimizer and of data parallelism.
//
// Cross-entropy bytes per logit: cast to fp32 (2 + 4), maximum (4), exponential and sum (4 + 4)
// forward; probability to gradient (4 + 2) backward: 24 B in all (measured training steps
// fit 22.1). Optimizer bytes per parameter: gradient, and master weight and moments read and
// written, compute copy written: 4 + 2 (4 + 4 + 4) + 2 = 30 for AdamW in fp32 over bf16 weights.
#include "layer_builder.hpp"

#include <utility>

namespace jevons::workloads {
namespace detail {

void build_layer(Builder& b, const Layer& layer) {
  const double elements = b.local_tokens() * b.hidden();
  const bool mixer = layer.attention.kind != AttentionKind::none;
  const bool ffn = layer.ffn.kind != FfnKind::none;
  if (layer.parallel_block && mixer && ffn) {
    const std::size_t x = b.open_region(b.norm("input_norm", elements, kInput));
    const std::size_t attention = build_attention(b, layer.attention, x);
    const std::size_t mlp = build_ffn(b, layer.ffn, x);
    const std::size_t sum = b.residual(b.tokens() * b.hidden(), {attention, mlp});
    b.residual(elements, {b.close_region(sum)});
    return;
  }
  std::size_t x = kInput;
  if (mixer) {
    const std::size_t in = x;
    x = build_attention(b, layer.attention, b.norm("input_norm", elements, in));
    x = b.residual(elements, {x, in});
  }
  if (ffn) {
    const std::size_t in = x;
    x = build_ffn(b, layer.ffn, b.norm("ffn_norm", elements, in));
    b.residual(elements, {x, in});
  }
}

/// Vocabulary-parallel lookup: ranks that do not hold a row add zero.
std::size_t build_embedding(Builder& b, std::size_t after) {
  const double bytes = b.tokens() * b.hidden() * b.width();
  // Backward adds rows into the fp32 gradient: read and written.
  const std::size_t x = b.elementwise("embedding", Module::embedding,
                                      {.read = bytes,
                                       .written = bytes,
                                       .back_read = bytes + 4 * b.tokens() * b.hidden(),
                                       .back_written = 4 * b.tokens() * b.hidden()},
                                      {after});
  return b.leave(b.hidden(), x);
}

void build_mtp_input(Builder& b) {
  const double local = b.local_tokens() * b.hidden();
  const std::size_t embedded = b.norm("embed_norm", local, build_embedding(b, kInput));
  const std::size_t state = b.norm("state_norm", local, kInput);
  const double bytes = 2 * local * b.width();
  std::size_t x =
      b.elementwise("concat", Module::mtp_proj,
                    {.read = bytes, .written = bytes, .back_read = bytes, .back_written = bytes},
                    {state, embedded});
  x = b.enter(2 * b.hidden(), x);
  x = b.quantise(Module::mtp_proj, 2 * b.tokens() * b.hidden(), x);
  x = b.linear("eh_proj", Module::mtp_proj, b.tokens(), b.hidden() / b.tp(), 2 * b.hidden(), x);
  const Parallelism& l = b.context().parallelism;
  b.collective("eh_gather", Module::mtp_proj, CollectiveKind::all_gather,
               b.tokens() * b.hidden() * b.width(), l.tp, 1, x);
  // With sequence parallelism each rank keeps its own tokens of the gathered rows.
}

}  // namespace detail

namespace {

using detail::Builder;
using detail::kInput;

void build_head(Builder& b) {
  const double t = b.tokens();
  const double vocab = static_cast<double>(b.model().vocab) / b.tp();
  std::size_t x = b.norm("final_norm", b.local_tokens() * b.hidden(), kInput);
  x = b.enter(b.hidden(), x);
  x = b.wide_linear("output_head", Module::head, t, vocab, b.hidden(), x);
  const double logits = t * vocab;
  x = b.elementwise("cross_entropy", Module::head,
                    {.read = logits * (b.width() + 4 + 4),
                     .written = logits * (4 + 4),
                     .back_read = logits * 4,
                     .back_written = logits * b.width(),
                     .launches = 3},
                    {x});
  // Maximum, sum of exponentials and target logit of every token.
  constexpr double kStatistics = 3 * 4;
  b.reduce_forward("loss_reduce", Module::head, t * kStatistics, x);
}

using Build = void (*)(Builder&);

OperatorGraph forward_of(const ModelConfig& model, const LayerContext& c, Build build) {
  Builder b(model, c, false);
  build(b);
  return b.forward();
}

OperatorGraph backward_of(const ModelConfig& model, const LayerContext& c, Build build) {
  Builder b(model, c, true);
  build(b);
  return b.backward();
}

void build_embedding_only(Builder& b) {
  detail::build_embedding(b, kInput);
}

Operator step_operator(std::string_view name, Module module, Shape shape, const Precision& p) {
  return {.name = std::string(name),
          .shape = std::move(shape),
          .format = p.master,
          .weight_format = p.master,
          .activation_format = p.gradients,
          .phase = Phase::optimizer,
          .module = module};
}

/// What ranks compute with: 16-bit weights even when GEMMs read a narrower cast of them.
double compute_copy_bytes(const Precision& p) {
  return activation_bytes(p.activations);
}

}  // namespace

OperatorGraph layer_forward(const ModelConfig& model, const Layer& layer, const LayerContext& c) {
  Builder b(model, c, false);
  build_layer(b, layer);
  return b.forward();
}

OperatorGraph layer_backward(const ModelConfig& model, const Layer& layer, const LayerContext& c) {
  Builder b(model, c, true);
  build_layer(b, layer);
  return b.backward();
}

OperatorGraph embedding_forward(const ModelConfig& model, const LayerContext& c) {
  return forward_of(model, c, build_embedding_only);
}

OperatorGraph embedding_backward(const ModelConfig& model, const LayerContext& c) {
  return backward_of(model, c, build_embedding_only);
}

OperatorGraph head_forward(const ModelConfig& model, const LayerContext& c) {
  return forward_of(model, c, build_head);
}

OperatorGraph head_backward(const ModelConfig& model, const LayerContext& c) {
  return backward_of(model, c, build_head);
}

OperatorGraph mtp_input_forward(const ModelConfig& model, const LayerContext& c) {
  return forward_of(model, c, detail::build_mtp_input);
}

OperatorGraph mtp_input_backward(const ModelConfig& model, const LayerContext& c) {
  return backward_of(model, c, detail::build_mtp_input);
}

OperatorGraph mtp_forward(const ModelConfig& model, const LayerContext& c) {
  OperatorGraph graph = mtp_input_forward(model, c);
  append(graph, layer_forward(model, mtp_layer(model), c));
  append(graph, head_forward(model, c));
  return graph;
}

OperatorGraph mtp_backward(const ModelConfig& model, const LayerContext& c) {
  OperatorGraph graph = head_backward(model, c);
  append(graph, layer_backward(model, mtp_layer(model), c));
  append(graph, mtp_input_backward(model, c));
  return graph;
}

Operator stage_transfer(const ModelConfig& model, const LayerContext& c) {
  const Parallelism& l = c.parallelism;
  const double share = l.sp ? static_cast<double>(l.tp) : 1;
  const double bytes = c.tokens / share * static_cast<double>(model.hidden) *
                       activation_bytes(c.precision.activations);
  Operator op = step_operator(
      "stage_transfer", Module::other,
      Collective{.kind = CollectiveKind::p2p, .bytes = bytes, .ranks = 2, .stride = l.pp_stride()},
      c.precision);
  op.phase = Phase::forward;
  return op;
}

Operator optimizer_update(double parameters, const Precision& p, int moments) {
  const double kept = weight_bytes(p.master) + moments * weight_bytes(p.moments);
  return step_operator("optimizer", Module::optimizer,
                       Elementwise{.bytes_read = parameters * (weight_bytes(p.gradients) + kept),
                                   .bytes_written = parameters * (kept + compute_copy_bytes(p))},
                       p);
}

Operator muon_iterations(double rows, double columns, double count) {
  // X ← a X + (b A + c A²) X with A = X Xᵀ on the shorter side: three products an iteration,
  // 2 r² c + 2 r³ + 2 r² c FLOPs, five iterations (Jordan 2024; Moonlight, arXiv 2502.16982).
  const double r = rows < columns ? rows : columns, c = rows < columns ? columns : rows;
  constexpr double kIterations = 5;
  Operator op = step_operator("newton_schulz", Module::optimizer,
                              Gemm{.m = r, .n = r, .k = 2 * c + r, .groups = kIterations * count},
                              Precision{});
  op.format = op.weight_format = op.activation_format = {Format::bf16, 0};
  return op;
}

Operator gradient_reduce_scatter(double parameters, const Precision& p, long ranks, long stride) {
  return step_operator("grad_scatter", Module::reduction,
                       Collective{.kind = CollectiveKind::reduce_scatter,
                                  .bytes = parameters * weight_bytes(p.gradients),
                                  .ranks = ranks,
                                  .stride = stride},
                       p);
}

Operator gradient_all_reduce(double parameters, const Precision& p, long ranks, long stride) {
  return step_operator("grad_reduce", Module::reduction,
                       Collective{.kind = CollectiveKind::all_reduce,
                                  .bytes = parameters * weight_bytes(p.gradients),
                                  .ranks = ranks,
                                  .stride = stride},
                       p);
}

Operator parameter_all_gather(double parameters, const Precision& p, long ranks, long stride) {
  return step_operator("param_gather", Module::reduction,
                       Collective{.kind = CollectiveKind::all_gather,
                                  .bytes = parameters * compute_copy_bytes(p),
                                  .ranks = ranks,
                                  .stride = stride},
                       p);
}

}  // namespace jevons::workloads
