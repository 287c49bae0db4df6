// Feed-forward part of a training or prefill layer: dense, or experts with router, exchange, shared
// experts.
//
// Experts follow Megatron-Core's folding: a rank brings its share of the tokens (T/tp when they are
// split over tp) to a group of ep · etp ranks; an expert-tensor-parallel group gathers its rows
// before and scatters them after the experts. With ep = 1 and etp = tp, and no sequence
// parallelism, every rank holds all tokens and the experts are cut like a dense FFN with one
// all-reduce. Router bytes per token and expert: fp32 logits written (4), read and written by the
// score function (8), read for groups and top-k (4), probabilities and mask written and read by the
// permutation (4 + 5): 25, beside 10 launches; training-step measurements give 32.
#include "layer_builder.hpp"

namespace jevons::workloads::detail {
namespace {

/// What the tokens of one layer look like on this rank.
struct MoeShape {
  double tokens = 0;   ///< brought by this rank
  double rows = 0;     ///< token copies its experts work on
  bool whole = false;  ///< all tokens on every rank of the tensor-parallel group
  MoeExperts experts;
};

/// Whether all tokens stay on every rank of the tensor-parallel group and the experts are cut over
/// it, by width or (engines without attention data parallelism) by number.
bool is_whole(const Builder& b) {
  const Parallelism& l = b.context().parallelism;
  if (b.step() == nullptr) return !l.sp && l.ep == 1 && l.etp == l.tp;
  return l.ep * l.etp == l.tp && (!b.sp() || l.ep == 1);
}

MoeShape shape_of(const Builder& b, const FeedForward& f) {
  const LayerContext& c = b.context();
  const Parallelism& l = c.parallelism;
  MoeShape s;
  s.whole = is_whole(b);
  s.tokens = s.whole ? b.tokens() : b.tokens() / b.tp();
  s.experts = {.tokens = s.whole ? s.tokens : s.tokens * static_cast<double>(l.ep * l.etp),
               .hidden = b.hidden(),
               .intermediate = static_cast<double>(f.intermediate),
               .top_k = static_cast<double>(f.top_k),
               .experts = static_cast<double>(f.experts),
               .ep = l.ep,
               .etp = l.etp,
               .load_max_over_mean = c.load_max_over_mean,
               .gated = f.gated};
  if (const DecodeContext* step = b.step()) {
    if (step->layer_tokens > 0) s.experts.tokens = step->layer_tokens;
    s.experts.redundant = step->redundant_experts;
    s.experts.routing = Routing::uniform;
  }
  s.rows = expert_rows(s.experts);
  return s;
}

std::size_t activation(Builder& b, Module module, double rows, double width, bool gated,
                       std::size_t after) {
  const double out = rows * width * b.width();
  const double in = gated ? 2 * out : out;
  return b.elementwise(gated ? "swiglu" : "activation", module,
                       {.read = in, .written = out, .back_read = in + out, .back_written = in},
                       {after});
}

/// Two or three matrices cut by tp, from the entered region to the row-split product.
std::size_t dense(Builder& b, Module module, Module act, double width, bool gated,
                  std::size_t input) {
  const double t = b.tokens();
  std::size_t x = b.quantise(module, t * b.hidden(), input);
  x = b.linear(gated ? "gate_up_proj" : "up_proj", module, t, (gated ? 2 : 1) * width, b.hidden(),
               x);
  x = activation(b, act, t, width, gated, x);
  x = b.quantise(module, t * width, x);
  return b.linear("down_proj", module, t, b.hidden(), width, x);
}

std::size_t router(Builder& b, const FeedForward& f, double tokens, std::size_t input) {
  const auto e = static_cast<double>(f.experts);
  const double x = tokens * b.hidden() * b.width();
  const double gate = b.hidden() * e * 4;  // fp32
  constexpr double kRead = 4 + 4 + 5, kWritten = 4 + 4 + 4;
  return b.elementwise("router", Module::router,
                       {.read = x + gate + kRead * tokens * e,
                        .written = kWritten * tokens * e,
                        .back_read = x + gate + kRead * tokens * e,
                        .back_written = x + 2 * gate + kWritten * tokens * e,
                        .flops = 2 * tokens * b.hidden() * e,
                        .launches = b.step() != nullptr ? 2.0 : 6.0,
                        .back_launches = 6},
                       {input});
}

std::size_t permutation(Builder& b, std::string_view name, double rows, double bytes_per_element,
                        std::size_t after) {
  const double moved = rows * b.hidden() * bytes_per_element;
  const double back = rows * b.hidden() * b.width();
  return b.elementwise(name, Module::router,
                       {.read = moved,
                        .written = moved,
                        .back_read = back,
                        .back_written = back,
                        .launches = 2,
                        .back_launches = 2},
                       {after});
}

/// Routed experts from the permutation to the sum of a token's copies.
std::size_t routed(Builder& b, const FeedForward& f, const MoeShape& s, std::size_t input) {
  const LayerContext& c = b.context();
  const Precision& p = c.precision;
  const Parallelism& l = c.parallelism;
  const bool exchanged = l.ep > 1 && !s.whole;
  // Latency-optimised kernels deliver rows grouped by expert and sum them on the way back.
  const bool grouped = exchanged && b.step() != nullptr && b.step()->prefill_tokens <= 0;
  const bool low_dispatch = exchanged && payload_bits(p.dispatch) < payload_bits(p.activations);
  std::size_t x = router(b, f, s.tokens, input);
  if (low_dispatch) x = b.quantise_as(p.dispatch, Module::exchange, s.tokens * b.hidden(), x);
  if (exchanged) x = b.exchange(false, s.tokens, f, x);
  const double carried = low_dispatch ? activation_bytes(p.dispatch) : b.width();
  const bool split = !s.whole && l.etp > 1;
  const double gathered = s.rows * b.hidden();
  if (split) {
    x = b.collective("etp_gather", Module::exchange, CollectiveKind::all_gather, gathered * carried,
                     l.etp, 1, x);
  }
  if (!grouped) x = permutation(b, "permute", s.rows, carried, x);
  if (!low_dispatch) x = b.quantise(Module::experts, gathered, x);
  x = b.experts(s.experts, x);
  const double width = s.experts.intermediate / static_cast<double>(l.etp);
  // SwiGLU and its cast lie between the two projections of `experts`; in the graph they follow it.
  x = activation(b, Module::moe_act, s.rows, width, f.gated, x);
  x = b.quantise(Module::moe_act, s.rows * width, x);
  if (!grouped) x = permutation(b, "unpermute", s.rows, b.width(), x);
  if (split) {
    x = b.collective("etp_scatter", Module::exchange, CollectiveKind::reduce_scatter,
                     gathered * b.width(), l.etp, 1, x);
  }
  return exchanged ? b.exchange(true, s.tokens, f, x) : x;
}

std::size_t build_moe(Builder& b, const FeedForward& f, std::size_t input) {
  const MoeShape s = shape_of(b, f);
  std::size_t shared = kInput;
  const double width = static_cast<double>(f.shared_experts * f.shared_intermediate) / b.tp();
  const std::size_t entered = s.whole || width > 0 ? b.enter(b.hidden(), input) : input;
  if (width > 0) {
    shared = dense(b, Module::shared_experts, Module::moe_act, width, f.gated, entered);
  }
  std::size_t x = routed(b, f, s, s.whole ? entered : b.slice(b.hidden(), input));
  if (s.whole) {
    if (shared != kInput) x = b.residual(b.tokens() * b.hidden(), {x, shared});
    return b.leave(b.hidden(), x);
  }
  const Parallelism& l = b.context().parallelism;
  if (!b.sp()) {  // back from slices of tokens to all of them
    x = b.collective("token_gather", Module::exchange, CollectiveKind::all_gather,
                     b.tokens() * b.hidden() * b.width(), l.tp, 1, x);
  }
  if (shared == kInput) return x;
  return b.residual(b.local_tokens() * b.hidden(), {x, b.leave(b.hidden(), shared)});
}

}  // namespace

std::size_t build_ffn(Builder& b, const FeedForward& f, std::size_t input) {
  switch (f.kind) {
    case FfnKind::none: return input;
    case FfnKind::dense: {
      const double width = static_cast<double>(f.intermediate) / b.tp();
      return b.leave(b.hidden(), dense(b, Module::mlp, Module::mlp, width, f.gated,
                                       b.enter(b.hidden(), input)));
    }
    case FfnKind::moe: return build_moe(b, f, input);
  }
  return input;
}

}  // namespace jevons::workloads::detail
