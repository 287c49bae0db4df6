// Recurrent, hybrid and encoder-decoder models. Key map: the transformers class of each
// model_type; retnet uses torchscale's names.
#include "config_fields.hpp"

#include "jevons/core/error.hpp"

#include <nlohmann/json.hpp>

namespace jevons::workloads {
namespace {

FeedForward no_ffn() {
  FeedForward ffn;
  ffn.kind = FfnKind::none;
  return ffn;
}

Attention no_attention() {
  Attention a;
  a.kind = AttentionKind::none;
  return a;
}

/// A rank that may be the text "auto": ceil(hidden / 16).
long step_rank(Fields& fields, std::string_view key, long hidden) {
  const Json* value = fields.reader().raw(key);
  if (value == nullptr || value->is_null() ||
      (value->is_string() && value->get_ref<const std::string&>() == "auto")) {
    return (hidden + 15) / 16;
  }
  return fields.need({key});
}

void check_period(const Fields& fields, std::string_view key, long offset, long period) {
  if (offset < period) return;
  throw bad_input(fields.where(key),
                  "an offset must be below its period " + std::to_string(period));
}

/// One layer of a Nemotron-H pattern.
Layer pattern_layer(Fields& fields, char symbol, std::size_t at, const Trunk& trunk,
                    const Attention& mamba) {
  Layer layer{no_attention(), no_ffn(), false};
  switch (symbol) {
    case 'M': layer.attention = mamba; return layer;
    case '*': layer.attention = gqa(trunk); return layer;
    case '-': layer.ffn = dense_ffn(fields.need({"intermediate_size"}), false); return layer;
    case 'E': {
      FeedForward moe = dense_ffn(fields.need({"moe_intermediate_size"}), false);
      moe.kind = FfnKind::moe;
      moe.sigmoid_router = true;
      moe.experts = fields.need({"n_routed_experts"}, kMaxExperts);
      moe.top_k = fields.need({"num_experts_per_tok"}, kMaxExperts);
      check_top_k(fields, moe.top_k, moe.experts, "num_experts_per_tok");
      moe.shared_experts = fields.get_or_zero("n_shared_experts", 0, kMaxExperts);
      if (moe.shared_experts > 0) {
        moe.shared_intermediate =
            fields.get("moe_shared_expert_intermediate_size", moe.intermediate);
      }
      layer.ffn = moe;
      return layer;
    }
    default:
      throw bad_input(
          fields.where("hybrid_override_pattern"),
          "unknown symbol '" + std::string(1, symbol) + "' at position " + std::to_string(at),
          "allowed: M (Mamba-2), * (attention), - (MLP), E (experts)");
  }
}

Attention lightning(const Trunk& trunk) {
  Attention a = gqa(trunk);
  a.kind = AttentionKind::lightning;
  a.kv_heads = a.heads;
  return a;
}

}  // namespace

// minimax_text_01, minimax: attn_type_list (1 softmax, 0 lightning) or layer_types.
void read_minimax_text(Fields& fields, ModelConfig& model) {
  const Trunk trunk = read_shape(fields);
  read_common(fields, model, trunk.hidden, false);
  FeedForward moe;
  moe.kind = FfnKind::moe;
  moe.intermediate = fields.need({"intermediate_size"});
  moe.experts = fields.need({"num_local_experts"}, kMaxExperts);
  moe.top_k = fields.need({"num_experts_per_tok"}, kMaxExperts);
  check_top_k(fields, moe.top_k, moe.experts, "num_experts_per_tok");
  const auto count = static_cast<std::size_t>(trunk.layers);
  const std::vector<long> softmax = fields.list("attn_type_list", count, 1);
  const std::vector<std::string> types = fields.texts("layer_types", count);
  if (softmax.empty() && types.empty()) {
    throw bad_input(fields.reader().where(), "missing key 'attn_type_list'",
                    "one entry per layer: 1 softmax, 0 lightning attention");
  }
  for (std::size_t i = 0; i < count; ++i) {
    const bool full = softmax.empty() ? types[i] == "full_attention" : softmax[i] == 1;
    if (softmax.empty() && !full && types[i] != "linear_attention") {
      throw bad_input(fields.where("layer_types") + "/" + std::to_string(i),
                      "unknown layer type '" + types[i] + "'",
                      "allowed: full_attention, linear_attention");
    }
    model.layers.push_back({full ? gqa(trunk) : lightning(trunk), moe, false});
  }
}

// jamba: attention in layers i mod attn_layer_period = attn_layer_offset, Mamba-1 elsewhere;
// experts in layers i mod expert_layer_period = expert_layer_offset.
void read_jamba(Fields& fields, ModelConfig& model) {
  const Trunk trunk = read_shape(fields);
  read_common(fields, model, trunk.hidden, false);
  Attention mamba;
  mamba.kind = AttentionKind::mamba1;
  mamba.inner = trunk.hidden * fields.get("mamba_expand", 2, 64);
  mamba.state = fields.get("mamba_d_state", 16);
  mamba.conv = fields.get("mamba_d_conv", 4);
  mamba.dt_rank = step_rank(fields, "mamba_dt_rank", trunk.hidden);
  const FeedForward dense = dense_ffn(fields.need({"intermediate_size"}));
  FeedForward moe = dense;
  moe.kind = FfnKind::moe;
  moe.experts = fields.need({"num_experts"}, kMaxExperts);
  moe.top_k = fields.need({"num_experts_per_tok"}, kMaxExperts);
  check_top_k(fields, moe.top_k, moe.experts, "num_experts_per_tok");
  const long attn_period = fields.get("attn_layer_period", 8, kMaxLayers);
  const long attn_offset = fields.get_or_zero("attn_layer_offset", 4, kMaxLayers);
  const long moe_period = fields.get("expert_layer_period", 2, kMaxLayers);
  const long moe_offset = fields.get_or_zero("expert_layer_offset", 1, kMaxLayers);
  check_period(fields, "attn_layer_offset", attn_offset, attn_period);
  check_period(fields, "expert_layer_offset", moe_offset, moe_period);
  for (long i = 0; i < trunk.layers; ++i) {
    model.layers.push_back({i % attn_period == attn_offset ? gqa(trunk) : mamba,
                            i % moe_period == moe_offset ? moe : dense, false});
  }
}

// mamba, falcon_mamba: the width is intermediate_size where given (Falcon-Mamba's `expand` of 16
// is not used by the model).
void read_mamba(Fields& fields, ModelConfig& model) {
  const long layers = fields.need({"num_hidden_layers", "n_layer"}, kMaxLayers);
  const long hidden = fields.need({"hidden_size", "d_model"});
  read_common(fields, model, hidden, true);
  Attention mamba;
  mamba.kind = AttentionKind::mamba1;
  const long expand = fields.get("expand", 2, 64);
  mamba.inner = fields.get("intermediate_size", expand * hidden, 64 * kMaxWidth);
  mamba.state = fields.get("state_size", 16);
  mamba.conv = fields.get("conv_kernel", 4);
  mamba.dt_rank = step_rank(fields, "time_step_rank", hidden);
  model.layers.assign(static_cast<std::size_t>(layers), {mamba, no_ffn(), false});
}

void read_mamba2(Fields& fields, ModelConfig& model) {
  const long layers = fields.need({"num_hidden_layers"}, kMaxLayers);
  const long hidden = fields.need({"hidden_size"});
  read_common(fields, model, hidden, false);
  Attention mamba;
  mamba.kind = AttentionKind::mamba2;
  mamba.inner = fields.get("expand", 2, 64) * hidden;
  mamba.state = fields.get("state_size", 128);
  mamba.conv = fields.get("conv_kernel", 4);
  mamba.groups = fields.get("n_groups", 8, kMaxHeads);
  mamba.ssm_heads = fields.need({"num_heads"}, kMaxHeads);
  const long head_dim = fields.get("head_dim", 64);
  if (mamba.ssm_heads * head_dim != mamba.inner) {
    throw bad_input(fields.where("num_heads"),
                    std::to_string(mamba.ssm_heads) + " heads of " + std::to_string(head_dim) +
                        " are not the inner width " + std::to_string(mamba.inner),
                    "num_heads x head_dim must be expand x hidden_size");
  }
  check_groups(fields, mamba.ssm_heads, mamba.groups, "n_groups");
  model.layers.assign(static_cast<std::size_t>(layers), {mamba, no_ffn(), false});
}

// nemotron_h: one block a symbol of hybrid_override_pattern.
void read_nemotron_h(Fields& fields, ModelConfig& model) {
  Trunk trunk;
  trunk.layers = fields.need({"num_hidden_layers"}, kMaxLayers);
  trunk.hidden = fields.need({"hidden_size"});
  trunk.heads = fields.need({"num_attention_heads"}, kMaxHeads);
  trunk.kv_heads = fields.get("num_key_value_heads", trunk.heads, kMaxHeads);
  check_groups(fields, trunk.heads, trunk.kv_heads, "num_key_value_heads");
  trunk.head_dim = fields.need({"head_dim", "attention_head_dim"});
  read_common(fields, model, trunk.hidden, false);
  Attention mamba;
  mamba.kind = AttentionKind::mamba2;
  mamba.ssm_heads = fields.need({"mamba_num_heads"}, kMaxHeads);
  mamba.inner = mamba.ssm_heads * fields.need({"mamba_head_dim"});
  mamba.state = fields.need({"ssm_state_size"});
  mamba.conv = fields.get("conv_kernel", 4);
  mamba.groups = fields.need({"n_groups"}, kMaxHeads);
  check_groups(fields, mamba.ssm_heads, mamba.groups, "n_groups");
  const std::string pattern = fields.reader().string("hybrid_override_pattern");
  if (static_cast<long>(pattern.size()) != trunk.layers) {
    throw bad_input(
        fields.where("hybrid_override_pattern"),
        std::to_string(pattern.size()) + " symbols for " + std::to_string(trunk.layers) + " layers",
        "one symbol per layer of num_hidden_layers");
  }
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    model.layers.push_back(pattern_layer(fields, pattern[i], i, trunk, mamba));
  }
}

// retnet (torchscale names): retention with an output gate, FFN of two matrices.
void read_retnet(Fields& fields, ModelConfig& model) {
  const long layers = fields.need({"decoder_layers"}, kMaxLayers);
  const long hidden = fields.need({"decoder_embed_dim"});
  read_common(fields, model, hidden, true);
  Attention a;
  a.kind = AttentionKind::retention;
  a.heads = fields.need({"decoder_retention_heads"}, kMaxHeads);
  a.kv_heads = a.heads;
  a.key_width = hidden;
  a.value_width = fields.need({"decoder_value_embed_dim"});
  if (a.key_width % a.heads != 0 || a.value_width % a.heads != 0) {
    throw bad_input(fields.where("decoder_retention_heads"),
                    "key and value widths do not divide by " + std::to_string(a.heads) + " heads");
  }
  a.qk_dim = a.key_width / a.heads;
  a.v_dim = a.value_width / a.heads;
  const FeedForward ffn = dense_ffn(fields.need({"decoder_ffn_embed_dim"}), false);
  model.layers.assign(static_cast<std::size_t>(layers), {a, ffn, false});
}

namespace {

/// Sparse FFNs of one stack: all layers when every layer is sparse, else i mod step = 1.
bool is_sparse(long i, long layers, long sparse) {
  if (sparse <= 0) return false;
  const long step = layers / sparse;
  return step <= 1 || i % step == 1;
}

}  // namespace

// switch_transformers: an encoder and a decoder; a decoder layer is self-attention without FFN
// followed by cross-attention with FFN. Every token is taken to pass both stacks.
void read_switch(Fields& fields, ModelConfig& model) {
  const long encoder = fields.need({"num_layers"}, kMaxLayers);
  const long decoder = fields.get("num_decoder_layers", encoder, kMaxLayers);
  const long sparse_encoder = fields.get_or_zero("num_sparse_encoder_layers", 3, encoder);
  const long sparse_decoder = fields.get_or_zero("num_sparse_decoder_layers", 3, decoder);
  const long hidden = fields.need({"d_model"});
  read_common(fields, model, hidden, true);
  Attention self;
  self.heads = self.kv_heads = fields.need({"num_heads"}, kMaxHeads);
  self.qk_dim = self.v_dim = fields.need({"d_kv"});
  Attention cross = self, encode = self;
  cross.cross = true;
  encode.bidirectional = true;
  const FeedForward dense = dense_ffn(fields.need({"d_ff"}), fields.flag("is_gated_act", false));
  FeedForward moe = dense;
  moe.kind = FfnKind::moe;
  moe.experts = fields.need({"num_experts"}, kMaxExperts);
  moe.top_k = 1;
  for (long i = 0; i < encoder; ++i) {
    model.layers.push_back({encode, is_sparse(i, encoder, sparse_encoder) ? moe : dense, false});
  }
  for (long i = 0; i < decoder; ++i) {
    model.layers.push_back({self, no_ffn(), false});
    model.layers.push_back({cross, is_sparse(i, decoder, sparse_decoder) ? moe : dense, false});
  }
}

}  // namespace jevons::workloads
