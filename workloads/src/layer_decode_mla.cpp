// MLA in an engine step: decoding sequences absorbed (queries meet the latent cache, 2 h (2 ck + r)
// FLOPs a key), chunks of prompts absorbed or expanded, whichever takes fewer FLOPs.
//
// Expanded: 2 h (n + r + v) FLOPs a query and key, and the cached prefix is expanded again,
// 2 ck h (n + v) FLOPs a key; new keys cost the same both ways. With a prefix P and c new tokens at
// mean position p: absorbed when c p · 2h(2 ck − n − v) < P · 2 ck h (n + v), for V3 when fewer
// than 33,554,432 / (278,528 − 81,920) = 170.7 new tokens share a long prefix. DSA: the indexer
// reads every cached index key (132 B in fp8) and the core the top-k, each query its own; a prompt
// chunk takes masked expanded attention while that is cheaper.
#include "layer_builder.hpp"

#include <algorithm>

namespace jevons::workloads {
namespace {

double new_tokens(const DecodeContext& s) {
  return s.prefill_tokens / s.prefill_sequences;
}

/// Cached keys before the chunk, per prompt.
double prefix(double tokens, double position) {
  return std::max(0.0, position - tokens / 2);
}

double absorbed_widths(const Attention& a) {
  return static_cast<double>(2 * a.kv_lora_rank + a.rope_dim);
}

/// FLOPs / (2 h) of expanded attention of a chunk, its prefix expanded again.
double expanded_cost(const Attention& a, double tokens, double position) {
  return tokens * position * static_cast<double>(a.qk_dim + a.v_dim) +
         prefix(tokens, position) * static_cast<double>(a.kv_lora_rank * (a.nope_dim + a.v_dim));
}

}  // namespace

bool mla_absorbed_is_cheaper(const Attention& a, double tokens, double position) {
  const double keys =
      a.index_topk > 0 ? std::min(position, static_cast<double>(a.index_topk)) : position;
  return tokens * keys * absorbed_widths(a) < expanded_cost(a, tokens, position);
}

namespace detail {
namespace {

/// Query latents and the caches this step's tokens are appended to.
struct Prepared {
  std::size_t query = 0;        ///< expanded queries
  std::size_t latent = 0;       ///< normed latents, cached
  std::size_t chosen = kInput;  ///< top-k keys of DSA
};

std::size_t index_scores(Builder& b, const Attention& a, const DecodeContext& s,
                         std::size_t after) {
  AttentionCore core{.phase = AttentionPhase::decode,
                     .batch = s.sequences,
                     .heads = static_cast<double>(a.index_heads),
                     .kv_heads = 1,
                     .q_len = s.query_tokens,
                     .kv_len = s.context,
                     .qk_dim = static_cast<double>(a.index_dim),
                     .v_dim = 0,
                     .ahead = (s.query_tokens - 1) / 2};
  std::size_t x = after;
  if (s.sequences > 0) x = b.indexer_scores(core, {x});
  if (s.prefill_tokens > 0) {
    core.phase = AttentionPhase::forward;
    core.ahead = 0;
    core.batch = s.prefill_sequences;
    core.q_len = new_tokens(s);
    core.kv_len = s.prefill_position + core.q_len / 2;
    x = b.indexer_scores(core, {x});
  }
  return x;
}

std::size_t choose_keys(Builder& b, const Attention& a, std::size_t hidden, std::size_t latent) {
  const DecodeContext& s = *b.step();
  const auto hi = static_cast<double>(a.index_heads), di = static_cast<double>(a.index_dim);
  const bool from_latent = a.q_lora_rank > 0;
  const double t = b.tokens();
  std::size_t x = b.linear("idx_q_proj", Module::indexer, t, hi * di,
                           from_latent ? static_cast<double>(a.q_lora_rank) : b.hidden(),
                           from_latent ? latent : hidden);
  b.also_wait(x);
  x = b.linear("idx_kw_proj", Module::indexer, t, di + hi, b.hidden(), hidden);
  x = index_scores(b, a, s, x);
  constexpr double kScoreBytes = 4, kIndexBytes = 4;
  const double scores =
      s.sequences * s.query_tokens * s.context + s.prefill_tokens * s.prefill_position;
  return b.elementwise("idx_topk", Module::indexer,
                       {.read = scores * kScoreBytes,
                        .written = t * static_cast<double>(a.index_topk) * kIndexBytes},
                       {x});
}

Prepared prepare(Builder& b, const Attention& a, std::size_t input) {
  const double heads = static_cast<double>(a.heads) / b.tp();
  const auto cq = static_cast<double>(a.q_lora_rank), ck = static_cast<double>(a.kv_lora_rank);
  const auto rope = static_cast<double>(a.rope_dim), qk = static_cast<double>(a.qk_dim);
  const double t = b.tokens();
  constexpr auto kProj = Module::attention_proj;
  const NumberFormat cache = cache_format(a, b.context().precision);
  const std::size_t hidden = b.quantise(kProj, t * b.hidden(), input);
  std::size_t x = b.linear(a.q_lora_rank > 0 ? "qkv_a_proj" : "kv_a_proj", kProj, t, cq + ck + rope,
                           b.hidden(), hidden);
  x = b.norm("latent_norm", t * (cq + ck), x);
  Prepared p;
  // Rotary on the shared key, and the latent with it into the cache.
  p.latent = b.elementwise(
      "kv_append", kProj,
      {.read = t * (ck + rope) * b.width(), .written = t * (ck + rope) * activation_bytes(cache)},
      {x});
  if (a.q_lora_rank > 0) x = b.quantise(Module::mla_up_proj, t * cq, x);
  p.query = a.q_lora_rank > 0 ? b.linear("q_b_proj", Module::mla_up_proj, t, heads * qk, cq, x)
                              : b.linear("q_proj", kProj, t, heads * qk, b.hidden(), hidden);
  if (a.index_topk > 0) p.chosen = choose_keys(b, a, hidden, x);
  const double rotated = t * heads * rope * b.width();
  p.query = b.elementwise("rotary", kProj, {.read = rotated, .written = rotated}, {p.query});
  return p;
}

/// `sequences` × `queries` tokens against `keys` latents each on average, `ahead` more for the
/// last; DSA gathers at most its top-k.
std::size_t absorbed(Builder& b, const Attention& a, double sequences, double queries, double keys,
                     double ahead, const Prepared& p, std::string_view name) {
  const double heads = static_cast<double>(a.heads) / b.tp();
  const auto ck = static_cast<double>(a.kv_lora_rank);
  const double t = sequences * queries;
  MlaDecode core{.batch = sequences,
                 .heads = heads,
                 .q_len = queries,
                 .kv_len = keys,
                 .kv_lora_rank = ck,
                 .rope_dim = static_cast<double>(a.rope_dim),
                 .ahead = ahead};
  if (const auto top = static_cast<double>(a.index_topk); top > 0 && keys > top) {
    core.batch = t;
    core.q_len = 1;
    core.kv_len = top;
    core.sparse = true;
    core.ahead = 0;
  }
  std::size_t x = b.wide_linear("q_absorb", Module::mla_up_proj, t, ck,
                                static_cast<double>(a.nope_dim), p.query, heads);
  if (p.chosen != kInput) b.also_wait(p.chosen);
  x = b.cached_core(name, core, cache_format(a, b.context().precision), {x, p.latent});
  return b.wide_linear("v_up_proj", Module::mla_up_proj, t, static_cast<double>(a.v_dim), ck, x,
                       heads);
}

/// A chunk with the keys of its prompt, prefix included, expanded.
std::size_t expanded(Builder& b, const Attention& a, const DecodeContext& s, const Prepared& p) {
  const double heads = static_cast<double>(a.heads) / b.tp();
  const auto ck = static_cast<double>(a.kv_lora_rank), v = static_cast<double>(a.v_dim);
  const double keys =
      s.prefill_tokens + s.prefill_sequences * prefix(new_tokens(s), s.prefill_position);
  std::size_t x = b.quantise(Module::mla_up_proj, keys * ck, p.latent);
  x = b.linear("kv_b_proj", Module::mla_up_proj, keys,
               heads * (static_cast<double>(a.nope_dim) + v), ck, x);
  return b.core("chunk_attn",
                AttentionCore{.batch = s.prefill_sequences,
                              .heads = heads,
                              .kv_heads = heads,
                              .q_len = new_tokens(s),
                              .kv_len = s.prefill_position + new_tokens(s) / 2,
                              .qk_dim = static_cast<double>(a.qk_dim),
                              .v_dim = v,
                              .mla = true},
                {p.query, x});
}

}  // namespace

std::size_t decode_mla(Builder& b, const Attention& a, std::size_t input) {
  const DecodeContext& s = *b.step();
  const Prepared p = prepare(b, a, input);
  std::size_t core = kInput;
  if (s.sequences > 0) {
    core = absorbed(b, a, s.sequences, s.query_tokens, s.context, (s.query_tokens - 1) / 2, p,
                    "decode_attn");
  }
  if (s.prefill_tokens > 0) {
    const std::size_t decoding = core;
    core = mla_absorbed_is_cheaper(a, new_tokens(s), s.prefill_position)
               ? absorbed(b, a, s.prefill_sequences, new_tokens(s), s.prefill_position,
                          new_tokens(s) / 2, p, "chunk_attn")
               : expanded(b, a, s, p);
    if (decoding != kInput) b.also_wait(decoding);
  }
  const double width = static_cast<double>(a.heads * a.v_dim) / b.tp();
  const std::size_t x = b.quantise(Module::attention_proj, b.tokens() * width, core);
  return b.leave(b.hidden(),
                 b.linear("o_proj", Module::attention_proj, b.tokens(), b.hidden(), width, x));
}

}  // namespace detail
}  // namespace jevons::workloads
