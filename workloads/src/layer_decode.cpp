// One engine step of one layer: decoding and verifying sequences, chunks of prompts, or both. GEMMs
// run over the sum of the tokens; attention runs once for the decoding sequences and once for the
// chunks, each over its own keys.
//
// Attention data parallelism: attention is built with tp 1, the FFN with sequence parallelism over
// the tp ranks' tokens (gather before, scatter after), which is what engines do. Recurrent layers
// read and write their states. Windows and chunks bound the keys; encoders (bidirectional layers)
// only see prompt tokens.
#include "layer_builder.hpp"

#include <algorithm>
#include <utility>

namespace jevons::workloads {
namespace detail {
namespace {

/// Keys a query at `position` sees in a chunked layer: half a chunk on average once past the first.
double chunked(const Attention& a, double position) {
  const auto chunk = static_cast<double>(a.chunk);
  return a.chunk > 0 && position > chunk ? chunk / 2 : position;
}

AttentionCore decode_core(const Builder& b, const Attention& a, const DecodeContext& s) {
  const double keys = chunked(a, s.context);
  return {.phase = AttentionPhase::decode,
          .batch = s.sequences,
          .heads = static_cast<double>(a.heads) / b.tp(),
          .kv_heads = std::max(static_cast<double>(a.kv_heads) / b.tp(), 1.0),
          .q_len = s.query_tokens,
          .kv_len = keys,
          .qk_dim = static_cast<double>(a.qk_dim),
          .v_dim = static_cast<double>(a.v_dim),
          .window = static_cast<double>(a.window),
          .ahead = keys < s.context ? 0 : (s.query_tokens - 1) / 2};  // chunks: half of one anyway
}

AttentionCore prompt_core(const Builder& b, const Attention& a, const DecodeContext& s) {
  AttentionCore core = decode_core(b, a, s);
  core.phase = AttentionPhase::forward;
  core.ahead = 0;
  core.causal = !a.bidirectional && !a.cross;
  core.batch = s.prefill_sequences;
  core.q_len = s.prefill_tokens / s.prefill_sequences;
  if (const double keys = chunked(a, s.prefill_position); keys < s.prefill_position) {
    core.q_len = std::min(core.q_len, static_cast<double>(a.chunk));
    core.batch = s.prefill_tokens / core.q_len;
    core.kv_len = keys + core.q_len / 2;
  } else {
    core.kv_len = core.causal ? keys + core.q_len / 2 : std::max(keys, core.q_len);
  }
  return core;
}

std::size_t decode_gqa(Builder& b, const Attention& a, std::size_t input) {
  const DecodeContext& s = *b.step();
  const double heads = static_cast<double>(a.heads) / b.tp();
  const double kv_heads = std::max(static_cast<double>(a.kv_heads) / b.tp(), 1.0);
  const auto qk = static_cast<double>(a.qk_dim), v = static_cast<double>(a.v_dim);
  const double t = b.tokens();
  const NumberFormat cache = cache_format(a, b.context().precision);
  std::size_t x = b.quantise(Module::attention_proj, t * b.hidden(), input);
  x = b.linear("qkv_proj", Module::attention_proj, t, heads * qk + kv_heads * (qk + v), b.hidden(),
               x);
  const double rotated = t * (heads + kv_heads) * qk * b.width();
  x = b.elementwise("rotary", Module::attention_proj, {.read = rotated, .written = rotated}, {x});
  const double kept = t * kv_heads * (qk + v);
  x = b.elementwise("kv_append", Module::attention_proj,
                    {.read = kept * b.width(), .written = kept * activation_bytes(cache)}, {x});
  std::size_t core = x;
  if (s.sequences > 0) core = b.cached_core("decode_attn", decode_core(b, a, s), cache, {x});
  if (s.prefill_tokens > 0) {
    if (core != x) b.also_wait(core);
    core = b.cached_core("chunk_attn", prompt_core(b, a, s), cache, {x});
  }
  const double width = heads * v;
  x = b.quantise(Module::attention_proj, t * width, core);
  x = b.linear("o_proj", Module::attention_proj, t, b.hidden(), width, x);
  return b.leave(b.hidden(), x);
}

}  // namespace

std::size_t decode_attention(Builder& b, const Attention& a, std::size_t input) {
  switch (a.kind) {
    case AttentionKind::none: return input;
    case AttentionKind::gqa: return decode_gqa(b, a, input);
    case AttentionKind::mla: return decode_mla(b, a, input);
    case AttentionKind::lightning:
    case AttentionKind::mamba1:
    case AttentionKind::mamba2:
    case AttentionKind::retention: return build_recurrent(b, a, input);
  }
  return input;
}

}  // namespace detail

namespace {

using detail::Builder;
using detail::kInput;

LayerContext context_of(const DecodeContext& s, double tokens) {
  LayerContext c{.tokens = tokens,
                 .sequence = tokens,
                 .batch = 1,
                 .parallelism = s.parallelism,
                 .precision = s.precision,
                 .load_max_over_mean = s.load_max_over_mean,
                 .training = false};
  c.parallelism.cp = 1;
  c.parallelism.sp = false;
  return c;
}

/// What attention sees: this rank's sequences, whole when attention is data-parallel.
LayerContext attention_context(const DecodeContext& s) {
  LayerContext c = context_of(s, s.tokens());
  if (s.attention_dp) c.parallelism.tp = 1;
  return c;
}

/// What a part cut over tp sees of `tokens` per rank: with attention data parallelism those of all
/// tp ranks, gathered and scattered.
LayerContext shared_context(const DecodeContext& s, double tokens) {
  LayerContext c = context_of(s, tokens);
  c.parallelism.sp = s.attention_dp && s.parallelism.tp > 1;
  if (c.parallelism.sp) c.tokens = c.sequence = tokens * static_cast<double>(s.parallelism.tp);
  return c;
}

/// Both halves read one norm and their sum is reduced once.
OperatorGraph parallel_block(const ModelConfig& model, const Layer& layer, const DecodeContext& s) {
  const LayerContext c = shared_context(s, s.tokens());
  Builder b(model, c, s);
  const std::size_t x = b.open_region(b.add_norm("input_norm", b.tokens() * b.hidden(), kInput));
  const std::size_t attention = detail::decode_attention(b, layer.attention, x);
  const std::size_t mlp = build_ffn(b, layer.ffn, x);
  b.close_region(b.residual(b.tokens() * b.hidden(), {attention, mlp}));
  return b.forward();
}

OperatorGraph build_step(const ModelConfig& model, const Layer& layer, const DecodeContext& s) {
  const bool mixer = layer.attention.kind != AttentionKind::none;
  const bool ffn = layer.ffn.kind != FfnKind::none;
  if (layer.parallel_block && mixer && ffn && !s.attention_dp) {
    return parallel_block(model, layer, s);
  }
  OperatorGraph graph;
  if (mixer) {
    const LayerContext c = attention_context(s);
    Builder b(model, c, s);
    const std::size_t x = b.add_norm("input_norm", b.tokens() * b.hidden(), kInput);
    detail::decode_attention(b, layer.attention, x);
    graph = b.forward();
  }
  if (ffn) {
    const LayerContext c = shared_context(s, s.tokens());
    Builder b(model, c, s);
    build_ffn(b, layer.ffn, b.add_norm("ffn_norm", b.local_tokens() * b.hidden(), kInput));
    if (mixer) {
      append(graph, b.forward());
    } else {
      graph = b.forward();
    }
  }
  return graph;
}

}  // namespace

OperatorGraph layer_decode(const ModelConfig& model, const Layer& layer, const DecodeContext& s) {
  if (s.tokens() <= 0) return {};
  if (!layer.attention.bidirectional || s.sequences <= 0) return build_step(model, layer, s);
  DecodeContext prompts = s;  // an encoder does not run for decoding sequences
  prompts.sequences = 0;
  if (prompts.tokens() <= 0) return {};
  if (s.layer_tokens > 0) prompts.layer_tokens = s.layer_tokens * prompts.tokens() / s.tokens();
  return build_step(model, layer, prompts);
}

OperatorGraph embedding_decode(const ModelConfig& model, const DecodeContext& s) {
  const LayerContext c = attention_context(s);
  Builder b(model, c, s);
  detail::build_embedding(b, kInput);
  return b.forward();
}

OperatorGraph head_decode(const ModelConfig& model, const DecodeContext& s) {
  const double rows =
      s.sequences * s.query_tokens + (s.prefill_tokens > 0 ? s.prefill_sequences : 0);
  const LayerContext c = shared_context(s, rows);
  Builder b(model, c, s);
  std::size_t x = b.add_norm("final_norm", b.local_tokens() * b.hidden(), kInput);
  x = b.enter(b.hidden(), x);
  const auto vocab = static_cast<double>(model.vocab);
  x = b.wide_linear("output_head", Module::head, b.tokens(), vocab / b.tp(), b.hidden(), x);
  const double logits = b.tokens() * vocab * b.width();
  x = b.collective("logit_gather", Module::head, CollectiveKind::all_gather, logits,
                   s.parallelism.tp, 1, x);
  // Cast to fp32, maximum, exponential and sum, choice.
  b.elementwise("sampling", Module::head,
                {.read = rows * vocab * (b.width() + 4 + 4),
                 .written = rows * vocab * (4 + 4),
                 .launches = 3},
                {x});
  return b.forward();
}

OperatorGraph mtp_input_decode(const ModelConfig& model, const DecodeContext& s) {
  const LayerContext c = shared_context(s, s.tokens());
  Builder b(model, c, s);
  detail::build_mtp_input(b);
  return b.forward();
}

}  // namespace jevons::workloads
