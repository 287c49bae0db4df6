// Token mixers with a recurrent state: Mamba 1 and 2, lightning (linear) attention, retention.
//
// Core FLOPs per token, from the algorithms:
//   Mamba-1 selective scan (Gu and Dao, arXiv 2312.00752): per inner channel and state element one
//     exponential, the input term (2), the update (2) and the output (2): 7 di N + 2 di conv.
//   Mamba-2 SSD (arXiv 2405.21060), chunks of Q = 256, causal half inside a chunk:
//     Q G N + Q di + 4 di N + 2 (di + 2 G N) conv.
//   Lightning attention (arXiv 2401.04658), blocks of Q = 256: 2 Q h e + 4 h e².
//   Retention (arXiv 2307.08621), chunks of Q = 512: Q (dqk + dv) + 4 dqk dv / heads.
// Tensor parallelism splits heads or inner channels; Mamba-1 reduces the row-split step projection.
// Context parallelism hands the state round a ring. Known error: the scan's own efficiency is the
// cost model's; FLOPs other than multiply-adds count one each.
#include "layer_builder.hpp"

#include <algorithm>

namespace jevons::workloads::detail {
namespace {

constexpr double kMamba2Chunk = 256, kLightningBlock = 256, kRetentionChunk = 512;
constexpr auto kProj = Module::attention_proj;

/// Decoding tokens update the state one by one; chunks of prompts scan. Every sequence's state is
/// read and written once.
std::size_t step_scan(Builder& b, const Attention& a, const DecodeContext& step, Scan s,
                      std::size_t after) {
  const double decoding = step.sequences * step.query_tokens;
  const double states = step.sequences + (step.prefill_tokens > 0 ? step.prefill_sequences : 0);
  s.flops =
      (decoding * recurrent_step_flops(a) + step.prefill_tokens * recurrent_flops(a)) / b.tp();
  s.state_bytes = 2 * states * recurrent_state(a) / b.tp() * kRecurrentStateBytes;
  return b.core("scan", s, {after});
}

/// The core, and the state's way along the ring of context-parallel ranks.
std::size_t scan(Builder& b, const Attention& a, double elements, std::size_t after) {
  const double t = b.tokens();
  const Scan s{
      .tokens = t, .flops = t * recurrent_flops(a) / b.tp(), .bytes = t * elements * b.width()};
  if (const DecodeContext* step = b.step()) return step_scan(b, a, *step, s, after);
  const std::size_t core = b.core("scan", s, {after});
  const double state = b.context().batch * recurrent_state(a) / b.tp() * b.width();
  const std::size_t ring = b.ring(state, after);
  if (ring != after) b.also_wait(ring);
  return core;
}

std::size_t project_out(Builder& b, double inner, std::size_t core) {
  const std::size_t x = b.quantise(kProj, b.tokens() * inner, core);
  return b.leave(b.hidden(), b.linear("out_proj", kProj, b.tokens(), b.hidden(), inner, x));
}

/// In-projection to `width` columns (already split by tp).
std::size_t project_in(Builder& b, double width, std::size_t input) {
  std::size_t x = b.enter(b.hidden(), input);
  x = b.quantise(kProj, b.tokens() * b.hidden(), x);
  return b.linear("in_proj", kProj, b.tokens(), width, b.hidden(), x);
}

std::size_t pass_over(Builder& b, std::string_view name, double elements, std::size_t after) {
  const double bytes = b.tokens() * elements * b.width();
  return b.elementwise(
      name, kProj, {.read = bytes, .written = bytes, .back_read = 2 * bytes, .back_written = bytes},
      {after});
}

std::size_t mamba1(Builder& b, const Attention& a, std::size_t input) {
  const double di = static_cast<double>(a.inner) / b.tp();
  const auto n = static_cast<double>(a.state), dt = static_cast<double>(a.dt_rank);
  const double t = b.tokens();
  std::size_t x = project_in(b, 2 * di, input);
  x = pass_over(b, "conv", di, x);
  std::size_t p = b.linear("x_proj", kProj, t, dt + 2 * n, di, b.quantise(kProj, t * di, x));
  const Parallelism& l = b.context().parallelism;
  p = b.collective("x_reduce", kProj, CollectiveKind::all_reduce, t * (dt + 2 * n) * b.width(),
                   l.tp, 1, p);
  p = b.linear("dt_proj", kProj, t, di, dt, b.quantise(kProj, t * dt, p));
  // Reads x, z, dt and B, C; writes y.
  return project_out(b, di, scan(b, a, 4 * di + 2 * n, p));
}

std::size_t mamba2(Builder& b, const Attention& a, std::size_t input) {
  const double di = static_cast<double>(a.inner) / b.tp();
  const double bc =
      2 * std::max(static_cast<double>(a.groups) / b.tp(), 1.0) * static_cast<double>(a.state);
  const double heads = static_cast<double>(a.ssm_heads) / b.tp();
  std::size_t x = project_in(b, 2 * di + bc + heads, input);
  x = pass_over(b, "conv", di + bc, x);
  x = scan(b, a, 2 * di + bc + heads, x);
  return project_out(b, di, pass_over(b, "gated_norm", 2 * di, x));
}

std::size_t lightning(Builder& b, const Attention& a, std::size_t input) {
  const double width = static_cast<double>(a.heads * a.v_dim) / b.tp();
  const double qk = static_cast<double>(a.heads * a.qk_dim) / b.tp();
  std::size_t x = project_in(b, 2 * qk + 2 * width, input);  // q, k, v and the output gate
  x = scan(b, a, 2 * qk + 2 * width, x);
  return project_out(b, width, pass_over(b, "gated_norm", 2 * width, x));
}

std::size_t retention(Builder& b, const Attention& a, std::size_t input) {
  const double qk = static_cast<double>(a.key_width) / b.tp();
  const double v = static_cast<double>(a.value_width) / b.tp();
  std::size_t x = project_in(b, 2 * qk + 2 * v, input);
  x = pass_over(b, "rotary", 2 * qk, x);
  x = scan(b, a, 2 * qk + 2 * v, x);
  return project_out(b, v, pass_over(b, "gated_norm", 2 * v, x));
}

}  // namespace

double recurrent_flops(const Attention& a) {
  const auto n = static_cast<double>(a.state), di = static_cast<double>(a.inner);
  const auto conv = static_cast<double>(a.conv), groups = static_cast<double>(a.groups);
  const auto heads = static_cast<double>(a.heads);
  switch (a.kind) {
    case AttentionKind::mamba1: return 7 * di * n + 2 * di * conv;
    case AttentionKind::mamba2:
      return kMamba2Chunk * (groups * n + di) + 4 * di * n + 2 * (di + 2 * groups * n) * conv;
    case AttentionKind::lightning: {
      const auto qk = static_cast<double>(a.qk_dim), v = static_cast<double>(a.v_dim);
      return heads * (kLightningBlock * (qk + v) + 4 * qk * v);
    }
    case AttentionKind::retention: {
      const auto qk = static_cast<double>(a.key_width), v = static_cast<double>(a.value_width);
      return kRetentionChunk * (qk + v) + 4 * qk * v / heads;
    }
    case AttentionKind::none:
    case AttentionKind::gqa:
    case AttentionKind::mla: break;
  }
  return 0;
}

double recurrent_step_flops(const Attention& a) {
  const double all = recurrent_flops(a);
  const auto n = static_cast<double>(a.state), di = static_cast<double>(a.inner);
  switch (a.kind) {
    case AttentionKind::mamba2:
      return all - kMamba2Chunk * (static_cast<double>(a.groups) * n + di);
    case AttentionKind::lightning:
      return all - static_cast<double>(a.heads * (a.qk_dim + a.v_dim)) * kLightningBlock;
    case AttentionKind::retention:
      return all - kRetentionChunk * static_cast<double>(a.key_width + a.value_width);
    case AttentionKind::mamba1:
    case AttentionKind::none:
    case AttentionKind::gqa:
    case AttentionKind::mla: break;
  }
  return all;
}

double recurrent_state(const Attention& a) {
  const auto n = static_cast<double>(a.state), di = static_cast<double>(a.inner);
  const auto conv = static_cast<double>(a.conv), groups = static_cast<double>(a.groups);
  const auto heads = static_cast<double>(a.heads);
  switch (a.kind) {
    case AttentionKind::mamba1: return di * (n + conv);
    case AttentionKind::mamba2: return di * n + (di + 2 * groups * n) * conv;
    case AttentionKind::lightning:
      return heads * static_cast<double>(a.qk_dim) * static_cast<double>(a.v_dim);
    case AttentionKind::retention:
      return static_cast<double>(a.key_width) * static_cast<double>(a.value_width) / heads;
    case AttentionKind::none:
    case AttentionKind::gqa:
    case AttentionKind::mla: break;
  }
  return 0;
}

std::size_t build_recurrent(Builder& b, const Attention& a, std::size_t input) {
  switch (a.kind) {
    case AttentionKind::mamba1: return mamba1(b, a, input);
    case AttentionKind::mamba2: return mamba2(b, a, input);
    case AttentionKind::lightning: return lightning(b, a, input);
    case AttentionKind::retention: return retention(b, a, input);
    case AttentionKind::none:
    case AttentionKind::gqa:
    case AttentionKind::mla: break;
  }
  return input;
}

}  // namespace jevons::workloads::detail
