// Softmax attention of a training or prefill layer: grouped queries (with windows and chunks) and
// MLA expanded, with sequence, tensor and context parallelism.
//
// MLA: the down projections are replicated over tp (as Megatron-Core and the serving engines run
// them: with sequence parallelism each rank has its own tokens, without it every rank does all),
// the latents enter the tensor-parallel region, up projections and cores are split by heads. DSA:
// the indexer scores every causal key (2 HI DI S FLOPs a query) and is replicated; the core is the
// cheaper of expanded attention over all keys with a mask (short sequences) and absorbed attention
// over the top-k (DeepSeek-V3.2-Exp report, appendix A). Context parallelism: keys and values go
// round a ring while zigzag shares balance the work.
#include "layer_builder.hpp"

#include <algorithm>

namespace jevons::workloads::detail {
namespace {

/// Keys of a query on average over the whole sequence, at most `limit` of them (0: no limit).
double sequence_keys(const LayerContext& c, double limit) {
  return mean_keys_seen(c.sequence, c.sequence, limit, c.causal);
}

/// Scores of an attention that materialises them: softmax and mask over the full s × s matrix.
std::size_t unfused_core(Builder& b, const AttentionCore& a, std::size_t after) {
  const double groups = a.batch * a.heads;
  const double scores = groups * a.q_len * a.kv_len * b.width();
  const std::size_t qk = b.core(
      "qk_scores",
      Gemm{.m = a.q_len, .n = a.kv_len, .k = a.qk_dim, .groups = groups, .output_bytes = b.width()},
      {after});
  const std::size_t softmax = b.elementwise(
      "softmax", Module::attention_core,
      {.read = scores, .written = scores, .back_read = 2 * scores, .back_written = scores}, {qk});
  return b.core(
      "pv_product",
      Gemm{.m = a.q_len, .n = a.v_dim, .k = a.kv_len, .groups = groups, .output_bytes = b.width()},
      {softmax});
}

std::size_t core_of(Builder& b, const Attention& attention, std::size_t after) {
  const AttentionCore a = training_core(attention, b.context(), AttentionPhase::forward);
  if (b.context().unfused_attention) return unfused_core(b, a, after);
  return b.core("core_attention", a, {after});
}

/// Output projection and the way out of the tensor-parallel region.
std::size_t output_projection(Builder& b, const Attention& a, std::size_t core) {
  const double width = static_cast<double>(a.heads * a.v_dim) / b.tp();
  const std::size_t x = b.quantise(Module::attention_proj, b.tokens() * width, core);
  const std::size_t o =
      b.linear("o_proj", Module::attention_proj, b.tokens(), b.hidden(), width, x);
  return b.leave(b.hidden(), o);
}

std::size_t build_gqa(Builder& b, const Attention& a, std::size_t input) {
  const double heads = static_cast<double>(a.heads) / b.tp();
  const double kv_heads = std::max(static_cast<double>(a.kv_heads) / b.tp(), 1.0);
  const auto qk = static_cast<double>(a.qk_dim), v = static_cast<double>(a.v_dim);
  const double t = b.tokens();
  std::size_t x = b.enter(b.hidden(), input);
  x = b.quantise(Module::attention_proj, t * b.hidden(), x);
  x = b.linear("qkv_proj", Module::attention_proj, t, heads * qk + kv_heads * (qk + v), b.hidden(),
               x);
  const double rotated = t * (heads + kv_heads) * qk * b.width();
  x = b.elementwise(
      "rotary", Module::attention_proj,
      {.read = rotated, .written = rotated, .back_read = rotated, .back_written = rotated}, {x});
  const std::size_t core = core_of(b, a, x);
  const std::size_t ring = b.ring(t * kv_heads * (qk + v) * b.width(), x);
  if (ring != x) b.also_wait(ring);
  return output_projection(b, a, core);
}

/// Scores of the sparse-attention indexer and the choice of keys.
std::size_t build_indexer(Builder& b, const Attention& a, std::size_t hidden, std::size_t latent) {
  const auto hi = static_cast<double>(a.index_heads), di = static_cast<double>(a.index_dim);
  const double t = b.tokens(), local = b.local_tokens();
  const auto m = Module::indexer;
  const bool from_latent = a.q_lora_rank > 0;
  const std::size_t q = b.linear("idx_q_proj", m, from_latent ? t : local, hi * di,
                                 from_latent ? static_cast<double>(a.q_lora_rank) : b.hidden(),
                                 from_latent ? latent : hidden);
  const std::size_t kw = b.linear("idx_kw_proj", m, local, di + hi, b.hidden(), hidden);
  const double keys = sequence_keys(b.context(), 0);
  AttentionCore scores{.batch = b.context().batch,
                       .heads = hi,
                       .kv_heads = 1,
                       .q_len = t / b.context().batch,
                       .kv_len = t / b.context().batch,
                       .qk_dim = di,
                       .v_dim = 0,
                       .causal = b.context().causal};
  scores.batch *= b.cp();
  const std::size_t s = b.indexer_scores(scores, {q, kw});
  constexpr double kScoreBytes = 4, kIndexBytes = 4;
  const double chosen = std::min(static_cast<double>(a.index_topk), b.context().sequence);
  return b.elementwise("idx_topk", m,
                       {.read = t * keys * kScoreBytes, .written = t * chosen * kIndexBytes}, {s});
}

/// Absorbed attention over the chosen keys.
std::size_t sparse_core(Builder& b, const Attention& a, std::size_t q, std::size_t chosen) {
  const double heads = static_cast<double>(a.heads) / b.tp();
  const auto ck = static_cast<double>(a.kv_lora_rank);
  const double t = b.tokens();
  const std::size_t absorbed =
      b.linear("q_absorb", Module::mla_up_proj, t, ck, static_cast<double>(a.nope_dim), q, heads);
  const std::size_t core =
      b.core("sparse_attn",
             MlaDecode{.batch = t,
                       .heads = heads,
                       .q_len = 1,
                       .kv_len = sequence_keys(b.context(), static_cast<double>(a.index_topk)),
                       .kv_lora_rank = ck,
                       .rope_dim = static_cast<double>(a.rope_dim),
                       .sparse = true},
             {absorbed, chosen});
  return b.linear("v_up_proj", Module::mla_up_proj, t, static_cast<double>(a.v_dim), ck, core,
                  heads);
}

/// Keys and values expanded from their latents, and attention over them.
std::size_t expanded_core(Builder& b, const Attention& a, std::size_t latent, std::size_t q) {
  const double heads = static_cast<double>(a.heads) / b.tp();
  const auto nope = static_cast<double>(a.nope_dim), rope = static_cast<double>(a.rope_dim);
  const auto v = static_cast<double>(a.v_dim);
  const auto ck = static_cast<double>(a.kv_lora_rank);
  const double t = b.tokens();
  const bool latents = b.context().latent_ring && b.cp() > 1;
  const std::size_t gathered = latents ? b.ring(t * (ck + rope) * b.width(), latent) : latent;
  const double keys = latents ? t * b.cp() : t;
  const std::size_t kv =
      b.linear("kv_b_proj", Module::mla_up_proj, keys, heads * (nope + v), ck, gathered);
  // Rotary on the rope part of the queries in place; keys are put together from both parts.
  const double read = heads * (t * rope + keys * nope) * b.width();
  const double written = heads * (t * rope + keys * (nope + rope)) * b.width();
  const std::size_t x = b.elementwise(
      "rotary", Module::attention_proj,
      {.read = read, .written = written, .back_read = written, .back_written = read}, {q, kv});
  const std::size_t core = core_of(b, a, x);
  if (latents) return core;
  const std::size_t ring = b.ring(t * heads * (nope + rope + v) * b.width(), x);
  if (ring != x) b.also_wait(ring);
  return core;
}

/// Whether sparse attention over the top-k takes fewer FLOPs than expanded attention over all.
bool sparse_is_cheaper(const Attention& a, const LayerContext& c) {
  const double absorbed = static_cast<double>(2 * a.kv_lora_rank + a.rope_dim) *
                          sequence_keys(c, static_cast<double>(a.index_topk));
  const double expanded = static_cast<double>(a.qk_dim + a.v_dim) * sequence_keys(c, 0);
  return a.index_topk > 0 && absorbed < expanded;
}

}  // namespace

AttentionCore training_core(const Attention& a, const LayerContext& c, AttentionPhase phase) {
  const auto tp = static_cast<double>(c.parallelism.tp);
  const auto cp = static_cast<double>(c.parallelism.cp);
  AttentionCore core{.phase = phase,
                     .batch = c.batch,
                     .heads = static_cast<double>(a.heads) / tp,
                     .kv_heads = std::max(static_cast<double>(a.kv_heads) / tp, 1.0),
                     .q_len = c.sequence,
                     .kv_len = c.sequence,
                     .qk_dim = static_cast<double>(a.qk_dim),
                     .v_dim = static_cast<double>(a.v_dim),
                     .window = static_cast<double>(a.window),
                     .causal = c.causal && !a.cross && !a.bidirectional,
                     .mla = a.kind == AttentionKind::mla};
  if (core.mla) core.kv_heads = core.heads;
  if (c.parallelism.cp == 1 && a.chunk == 0) return core;
  // Blocks of the local length (and of a chunk, if shorter) with as many of them as keep the FLOPs.
  const auto chunk = static_cast<double>(a.chunk);
  double keys = mean_keys_seen(c.sequence, c.sequence, core.window, core.causal);
  double block = c.sequence / cp;
  if (chunk > 0 && chunk < c.sequence) {
    keys = mean_keys_seen(chunk, chunk, core.window, core.causal);
    block = std::min(block, chunk);
  }
  core.q_len = core.kv_len = block;
  core.batch = c.batch * (c.sequence / cp) * keys /
               (block * mean_keys_seen(block, block, core.window, core.causal));
  return core;
}

std::size_t build_mla(Builder& b, const Attention& a, std::size_t input) {
  const double heads = static_cast<double>(a.heads) / b.tp();
  const auto cq = static_cast<double>(a.q_lora_rank);
  const auto ck = static_cast<double>(a.kv_lora_rank), rope = static_cast<double>(a.rope_dim);
  const double t = b.tokens(), local = b.local_tokens();
  const auto down = Module::attention_proj;
  const std::size_t hidden = b.quantise(down, local * b.hidden(), input);
  // One fused projection to both latents; without a query latent q comes from the hidden state.
  std::size_t latent = b.linear(cq > 0 ? "qkv_a_proj" : "kv_a_proj", down, local, cq + ck + rope,
                                b.hidden(), hidden);
  latent = b.norm("latent_norm", local * (cq + ck), latent);
  latent = b.enter(cq + ck + rope, latent);
  latent = b.quantise(Module::mla_up_proj, t * (cq + ck), latent);
  std::size_t q = 0;
  if (cq > 0) {
    q = b.linear("q_b_proj", Module::mla_up_proj, t, heads * static_cast<double>(a.qk_dim), cq,
                 latent);
  } else {
    // With sequence parallelism the gathered hidden state is another tensor than the local one.
    const std::size_t x = b.sp() ? b.quantise(down, t * b.hidden(), b.enter(b.hidden(), input))
                                 : b.enter(b.hidden(), hidden);
    q = b.linear("q_proj", down, t, heads * static_cast<double>(a.qk_dim), b.hidden(), x);
  }
  if (a.index_topk == 0) return output_projection(b, a, expanded_core(b, a, latent, q));
  const std::size_t chosen = build_indexer(b, a, hidden, latent);
  if (sparse_is_cheaper(a, b.context())) {
    return output_projection(b, a, sparse_core(b, a, q, chosen));
  }
  b.also_wait(chosen);  // the mask of the keys left out
  return output_projection(b, a, expanded_core(b, a, latent, q));
}

std::size_t build_attention(Builder& b, const Attention& a, std::size_t input) {
  switch (a.kind) {
    case AttentionKind::none: return input;
    case AttentionKind::gqa: return build_gqa(b, a, input);
    case AttentionKind::mla: return build_mla(b, a, input);
    case AttentionKind::lightning:
    case AttentionKind::mamba1:
    case AttentionKind::mamba2:
    case AttentionKind::retention: return build_recurrent(b, a, input);
  }
  return input;
}

}  // namespace jevons::workloads::detail
