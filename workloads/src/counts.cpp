// Parameters, KV cache, recurrent state and FLOPs of a model from its layers alone.
//
// Symbols: d hidden, V vocabulary, h heads, g KV heads, e head dimension, f FFN width, m expert
// width, E experts, k top-k, Es shared experts; MLA: cq, ck latent ranks, n, r, v head dimensions;
// HI, DI sparse indexer heads and dimension; Mamba: di inner, N state, G groups, H heads;
// retention: dqk, dv widths. All in elements; FLOPs count a multiply-add as two.
// Source: the layer definitions (DeepSeek-V2 report 2405.04434 section 2.1; V3.2-Exp report for the
// indexer; Mamba 2312.00752, Mamba-2 2405.21060, RetNet 2307.08621, MiniMax-01 2501.08313).
// Known error: norm weights and small biases are left out unless the model says `biases` or
// `expert_bias`; below 0.1 % for the models that ship.
#include "jevons/workloads/model.hpp"

#include <algorithm>

namespace jevons::workloads {
namespace {

double f64(long value) {
  return static_cast<double>(value);
}

double mla_parameters(double d, const Attention& a) {
  const double h = f64(a.heads), cq = f64(a.q_lora_rank), ck = f64(a.kv_lora_rank);
  const double qk = f64(a.qk_dim), v = f64(a.v_dim);
  const double query = a.q_lora_rank > 0 ? d * cq + cq * h * qk : d * h * qk;
  const double key_value = d * (ck + f64(a.rope_dim)) + ck * h * (f64(a.nope_dim) + v);
  double indexer = 0.0;
  if (a.index_topk > 0) {
    const double hi = f64(a.index_heads), di = f64(a.index_dim);
    indexer = (a.q_lora_rank > 0 ? cq : d) * hi * di + d * di + d * hi;
  }
  return query + key_value + h * v * d + indexer;
}

double mamba1_parameters(double d, const Attention& a) {
  const double di = f64(a.inner), n = f64(a.state), dt = f64(a.dt_rank);
  const double in_projection = 2 * d * di, convolution = di * (f64(a.conv) + 1);
  const double selection = di * (dt + 2 * n) + dt * di + di;
  return in_projection + convolution + selection + di * n + di + di * d;
}

double mamba2_parameters(double d, const Attention& a) {
  const double di = f64(a.inner), gn = f64(a.groups) * f64(a.state), h = f64(a.ssm_heads);
  return d * (2 * di + 2 * gn + h) + (di + 2 * gn) * (f64(a.conv) + 1) + 3 * h + di + di * d;
}

double expert_parameters(double d, double width, bool gated) {
  return (gated ? 3.0 : 2.0) * d * width;
}

/// Biases of all linear layers and both norms: 9 d + f when the heads have the width d.
double bias_parameters(const ModelConfig& model, const Layer& layer) {
  if (!model.biases) return 0.0;
  const double d = f64(model.hidden);
  const Attention& a = layer.attention;
  double total = 4 * d;
  if (a.kind == AttentionKind::gqa) {
    total += f64(a.heads) * f64(a.qk_dim) + f64(a.kv_heads) * f64(a.qk_dim + a.v_dim) + d;
  }
  if (layer.ffn.kind != FfnKind::none) {
    total += (layer.ffn.gated ? 2.0 : 1.0) * f64(layer.ffn.intermediate) + d;
  }
  return total;
}

/// gpt-oss: gate, up and down biases of one expert.
double expert_bias_parameters(const ModelConfig& model, const FeedForward& ffn) {
  return ffn.expert_bias ? 2 * f64(ffn.intermediate) + f64(model.hidden) : 0.0;
}

double state_elements(const Attention& a) {
  switch (a.kind) {
    case AttentionKind::lightning: return f64(a.heads) * f64(a.qk_dim) * f64(a.v_dim);
    case AttentionKind::mamba1: return f64(a.inner) * (f64(a.state) + f64(a.conv));
    case AttentionKind::mamba2:
      return f64(a.inner) * f64(a.state) +
             (f64(a.inner) + 2 * f64(a.groups) * f64(a.state)) * f64(a.conv);
    case AttentionKind::retention: return f64(a.key_width) * f64(a.value_width) / f64(a.heads);
    default: return 0.0;
  }
}

double kv_elements(const Attention& a) {
  if (a.bidirectional) return 0.0;
  if (a.kind == AttentionKind::gqa) return f64(a.kv_heads) * f64(a.qk_dim + a.v_dim);
  if (a.kind == AttentionKind::mla) return f64(a.kv_lora_rank + a.rope_dim);
  return 0.0;
}

double matmul_parameters(const ModelConfig& model, const Layer& layer) {
  return attention_parameters(model, layer.attention) + ffn_matmul_parameters(model, layer.ffn);
}

/// Two concatenated hidden states projected to one (DeepSeek-V3 report, section 2.2).
double mtp_projection(const ModelConfig& model) {
  return 2 * f64(model.hidden) * f64(model.hidden);
}

}  // namespace

double attention_parameters(const ModelConfig& model, const Attention& a) {
  const double d = f64(model.hidden), h = f64(a.heads), g = f64(a.kv_heads);
  switch (a.kind) {
    case AttentionKind::none: return 0.0;
    case AttentionKind::gqa:
      return d * h * f64(a.qk_dim) + d * g * f64(a.qk_dim + a.v_dim) + d * h * f64(a.v_dim);
    case AttentionKind::mla: return mla_parameters(d, a);
    case AttentionKind::lightning:  // q, k, v, output gate, output
      return 5 * d * h * f64(a.qk_dim);
    case AttentionKind::mamba1: return mamba1_parameters(d, a);
    case AttentionKind::mamba2: return mamba2_parameters(d, a);
    case AttentionKind::retention:  // q, k; v and gate; output
      return 2 * d * f64(a.key_width) + 3 * d * f64(a.value_width);
  }
  return 0.0;
}

double router_parameters(const ModelConfig& model, const FeedForward& ffn) {
  return ffn.kind == FfnKind::moe ? f64(model.hidden) * f64(ffn.experts) : 0.0;
}

double ffn_parameters(const ModelConfig& model, const FeedForward& ffn) {
  const double d = f64(model.hidden);
  if (ffn.kind == FfnKind::none) return 0.0;
  if (ffn.kind == FfnKind::dense) return expert_parameters(d, f64(ffn.intermediate), ffn.gated);
  return f64(ffn.experts) * (expert_parameters(d, f64(ffn.intermediate), ffn.gated) +
                             expert_bias_parameters(model, ffn)) +
         f64(ffn.shared_experts) * expert_parameters(d, f64(ffn.shared_intermediate), ffn.gated) +
         router_parameters(model, ffn);
}

double ffn_matmul_parameters(const ModelConfig& model, const FeedForward& ffn) {
  const double d = f64(model.hidden);
  if (ffn.kind == FfnKind::none) return 0.0;
  const double one = expert_parameters(d, f64(ffn.intermediate), ffn.gated);
  if (ffn.kind == FfnKind::dense) return one;
  return f64(ffn.top_k) * one +
         f64(ffn.shared_experts) * expert_parameters(d, f64(ffn.shared_intermediate), ffn.gated);
}

ModelCounts count(const ModelConfig& model) {
  ModelCounts c;
  const double d = f64(model.hidden);
  c.embedding_parameters = f64(model.vocab) * d;
  c.head_parameters = model.tied_embeddings ? 0.0 : c.embedding_parameters;
  const double positions = f64(model.learned_positions) * d;
  double small_active = positions;
  c.parameters_total = c.embedding_parameters + c.head_parameters + positions;
  c.matmul_parameters = c.embedding_parameters;  // the head's matmul, tied or not
  for (const Layer& layer : model.layers) {
    const double biases = bias_parameters(model, layer);
    c.parameters_total +=
        attention_parameters(model, layer.attention) + ffn_parameters(model, layer.ffn) + biases;
    c.matmul_parameters += matmul_parameters(model, layer);
    c.router_parameters += router_parameters(model, layer.ffn);
    small_active += biases + f64(layer.ffn.top_k) * expert_bias_parameters(model, layer.ffn);
    c.kv_elements_per_token += kv_elements(layer.attention);
    c.state_elements_per_sequence += state_elements(layer.attention);
  }
  c.parameters_active = c.matmul_parameters + c.router_parameters + small_active;
  c.parameters_active_with_embedding = c.parameters_active + c.head_parameters;
  if (model.mtp_modules > 0) {
    const Layer& layer = mtp_layer(model);
    c.mtp_parameters = f64(model.mtp_modules) *
                       (mtp_projection(model) + attention_parameters(model, layer.attention) +
                        ffn_parameters(model, layer.ffn));
  }
  return c;
}

double kv_bytes_per_token(const Attention& attention, NumberFormat format, bool with_index) {
  double bytes = kv_elements(attention) * activation_bytes(format);
  if (attention.index_topk > 0) {
    // DeepSeek-V3.2-Exp: fp8 latent with one fp32 scale per 128, rope part in bf16: 656 B.
    if (is_float8(format)) {
      bytes = f64(attention.kv_lora_rank) * (1 + 4.0 / 128) + 2 * f64(attention.rope_dim);
    }
    if (with_index) bytes += f64(attention.index_dim) * (1 + 4.0 / 128);
  }
  return bytes;
}

double kv_bytes_per_token(const ModelConfig& model, NumberFormat format) {
  double total = 0.0;
  for (const Layer& layer : model.layers) total += kv_bytes_per_token(layer.attention, format);
  return total;
}

double kv_bytes_of_sequence(const ModelConfig& model, NumberFormat format, double tokens) {
  double total = 0.0;
  for (const Layer& layer : model.layers) {
    const Attention& a = layer.attention;
    double kept = tokens;
    if (a.window > 0) kept = std::min(kept, f64(a.window));
    if (a.chunk > 0) kept = std::min(kept, f64(a.chunk));
    total += kept * kv_bytes_per_token(a, format, true) + state_elements(a) * kRecurrentStateBytes;
  }
  return total;
}

double mean_keys(const Attention& a, double s, bool causal) {
  if (a.bidirectional || a.cross) return s;
  const double w = f64(a.window), c = f64(a.chunk);
  if (!causal) {
    double keys = s;
    if (a.window > 0) keys = std::min(keys, w);
    if (a.chunk > 0) keys = std::min(keys, c);
    return keys;
  }
  if (a.window > 0 && s > w) return w - w * w / (2 * s);
  if (a.chunk > 0 && s >= c) return c / 2;
  return s / 2;
}

double attention_flops(const Attention& a, double keys) {
  const double h = f64(a.heads), inner = f64(a.inner), state = f64(a.state);
  switch (a.kind) {
    case AttentionKind::none: return 0.0;
    case AttentionKind::gqa:
    case AttentionKind::mla: return 2 * h * f64(a.qk_dim + a.v_dim) * keys;
    case AttentionKind::lightning:  // add k v^T to the state, read it with q
      return 4 * h * f64(a.qk_dim) * f64(a.v_dim);
    case AttentionKind::retention: return 4 * f64(a.key_width) * f64(a.value_width) / h;
    case AttentionKind::mamba1:  // 9 per state element: selective_scan in state-spaces/mamba
      return 9 * inner * state;
    case AttentionKind::mamba2:  // 7 per state element: Megatron-LM's mamba_layer_flops
      return 7 * inner * state;
  }
  return 0.0;
}

TrainingFlops training_flops_per_token(const ModelConfig& model, double sequence, bool with_mtp) {
  const ModelCounts counts = count(model);
  TrainingFlops flops{6 * counts.matmul_parameters, 6 * counts.matmul_parameters};
  const auto add = [&](const Attention& a, double times) {
    flops.causal += times * 3 * attention_flops(a, mean_keys(a, sequence, true));
    flops.noncausal += times * 3 * attention_flops(a, mean_keys(a, sequence, false));
  };
  for (const Layer& layer : model.layers) add(layer.attention, 1.0);
  if (with_mtp && model.mtp_modules > 0) {
    const Layer& layer = mtp_layer(model);
    const double modules = f64(model.mtp_modules);
    const double matmuls =
        matmul_parameters(model, layer) + mtp_projection(model) + counts.embedding_parameters;
    flops.causal += modules * 6 * matmuls;
    flops.noncausal += modules * 6 * matmuls;
    add(layer.attention, modules);
  }
  return flops;
}

}  // namespace jevons::workloads
