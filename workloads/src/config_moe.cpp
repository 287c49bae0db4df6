// Mixture-of-experts decoders. Key map: the transformers class of each model_type.
#include "config_fields.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>

namespace jevons::workloads {
namespace {

FeedForward experts(Fields& fields, std::initializer_list<std::string_view> count_keys,
                    long intermediate) {
  FeedForward moe;
  moe.kind = FfnKind::moe;
  moe.intermediate = intermediate;
  moe.experts = fields.need(count_keys, kMaxExperts);
  moe.top_k = fields.need({"num_experts_per_tok", "experts_per_token"}, kMaxExperts);
  check_top_k(fields, moe.top_k, moe.experts, "num_experts_per_tok");
  return moe;
}

void add_shared(FeedForward& moe, long count, long width) {
  moe.shared_experts = width > 0 ? count : 0;
  moe.shared_intermediate = moe.shared_experts > 0 ? width : 0;
}

/// DeepSeek's rule: experts from layer first_k_dense_replace on, every moe_layer_freq-th.
void add_deepseek_ffn(Fields& fields, ModelConfig& model, const Attention& attention, long layers,
                      bool sigmoid) {
  const FeedForward dense = dense_ffn(fields.need({"intermediate_size"}));
  model.layers.assign(static_cast<std::size_t>(layers), {attention, dense, false});
  model.mtp_modules = fields.get_or_zero("num_nextn_predict_layers", 0, 64);
  if (!fields.has("n_routed_experts")) return;
  FeedForward moe = experts(fields, {"n_routed_experts"}, fields.need({"moe_intermediate_size"}));
  add_shared(moe, fields.get_or_zero("n_shared_experts", 0, kMaxExperts), moe.intermediate);
  moe.sigmoid_router = fields.reader().choice_or("scoring_func", sigmoid ? "sigmoid" : "softmax",
                                                 {"sigmoid", "softmax"}) == "sigmoid";
  // "greedy" (V2-Lite) picks over all experts whatever n_group says.
  const auto method = fields.reader().optional_string("topk_method");
  if (!method || *method != "greedy") read_node_limit(fields, moe);
  const long first = fields.get_or_zero("first_k_dense_replace", 0, layers);
  const long every = fields.get("moe_layer_freq", 1, kMaxLayers);
  for (long i = first; i < layers; ++i) {
    if (i % every == 0) model.layers[static_cast<std::size_t>(i)].ffn = moe;
  }
}

}  // namespace

// mixtral: experts as wide as intermediate_size.
void read_mixtral(Fields& fields, ModelConfig& model) {
  const Trunk trunk = read_shape(fields);
  read_common(fields, model, trunk.hidden, false);
  const FeedForward moe =
      experts(fields, {"num_local_experts"}, fields.need({"intermediate_size"}));
  Attention attention = gqa(trunk);
  attention.window = fields.get("sliding_window", 0, kMaxPositions);
  model.layers.assign(static_cast<std::size_t>(trunk.layers), {attention, moe, false});
}

// qwen2_moe, qwen3_moe: experts in layers where (i + 1) % decoder_sparse_step = 0 and that are not
// in mlp_only_layers.
void read_qwen_moe(Fields& fields, ModelConfig& model) {
  const Trunk trunk = read_shape(fields);
  read_common(fields, model, trunk.hidden, false);
  FeedForward moe = experts(fields, {"num_experts"}, fields.need({"moe_intermediate_size"}));
  add_shared(moe, 1, fields.get_or_zero("shared_expert_intermediate_size", 0));
  const long step = fields.get("decoder_sparse_step", 1, kMaxLayers);
  const std::vector<long> dense_layers = fields.indices("mlp_only_layers", trunk.layers);
  const Attention attention = gqa(trunk);
  for (long i = 0; i < trunk.layers; ++i) {
    const bool dense = (i + 1) % step != 0 ||
                       std::find(dense_layers.begin(), dense_layers.end(), i) != dense_layers.end();
    model.layers.push_back(
        {attention, dense ? dense_ffn(fields.need({"intermediate_size"})) : moe, false});
  }
  if (fields.flag("use_sliding_window", false)) {
    throw bad_input(fields.where("use_sliding_window"),
                    "a sliding window in this family is not understood", "set it to false");
  }
}

// deepseek (v1), glm4_moe: DeepSeek's experts over GQA. GLM routes by sigmoid.
void read_deepseek_gqa(Fields& fields, ModelConfig& model) {
  const Trunk trunk = read_shape(fields);
  read_common(fields, model, trunk.hidden, false);
  add_deepseek_ffn(fields, model, gqa(trunk), trunk.layers, model.model_type == "glm4_moe");
}

// deepseek_v2, deepseek_v3, deepseek_v32, kimi_k2: multi-head latent attention; the sparse indexer
// when index_topk is there.
void read_deepseek_mla(Fields& fields, ModelConfig& model) {
  const long layers = fields.need({"num_hidden_layers"}, kMaxLayers);
  const long hidden = fields.need({"hidden_size"});
  read_common(fields, model, hidden, false);
  Attention a;
  a.kind = AttentionKind::mla;
  a.heads = fields.need({"num_attention_heads"}, kMaxHeads);
  a.kv_heads = a.heads;
  a.q_lora_rank = fields.get_or_zero("q_lora_rank", 0);
  a.kv_lora_rank = fields.need({"kv_lora_rank"});
  a.nope_dim = fields.need({"qk_nope_head_dim"});
  a.rope_dim = fields.need({"qk_rope_head_dim"});
  a.qk_dim = a.nope_dim + a.rope_dim;
  a.v_dim = fields.need({"v_head_dim"});
  if (fields.has("index_topk")) {
    a.index_topk = fields.need({"index_topk"}, kMaxPositions);
    a.index_heads = fields.need({"index_n_heads"}, kMaxHeads);
    a.index_dim = fields.need({"index_head_dim"});
  } else if (model.model_type == "deepseek_v32") {
    (void)fields.need({"index_topk"});
  }
  add_deepseek_ffn(fields, model, a, layers, model.model_type != "deepseek_v2");
}

// gpt_oss: windows alternate (first layer local), experts carry biases.
void read_gpt_oss(Fields& fields, ModelConfig& model) {
  const Trunk trunk = read_shape(fields);
  read_common(fields, model, trunk.hidden, false);
  FeedForward moe =
      experts(fields, {"num_local_experts", "num_experts"}, fields.need({"intermediate_size"}));
  moe.expert_bias = true;
  const long window = fields.get("sliding_window", 0, kMaxPositions);
  const Attention full = gqa(trunk);
  const auto given = from_layer_types(fields, full, trunk.layers, window, 0);
  for (long i = 0; i < trunk.layers; ++i) {
    Attention a = full;
    if (!given.empty()) {
      a = given[static_cast<std::size_t>(i)];
    } else if (i % 2 == 0) {
      a.window = window;
    }
    model.layers.push_back({a, moe, false});
  }
}

// dbrx: nested attn_config and ffn_config. ffn_hidden_size must be there: the class default 3584
// is not the released model.
void read_dbrx(Fields& fields, ModelConfig& model) {
  Trunk trunk;
  trunk.layers = fields.need({"n_layers"}, kMaxLayers);
  trunk.hidden = fields.need({"d_model"});
  trunk.heads = fields.need({"n_heads"}, kMaxHeads);
  Fields attn(fields.reader().object("attn_config"));
  trunk.kv_heads = attn.get("kv_n_heads", 1, kMaxHeads);
  check_groups(attn, trunk.heads, trunk.kv_heads, "kv_n_heads");
  trunk.head_dim = derived_head_dim(fields, trunk.hidden, trunk.heads, "n_heads");
  read_common(fields, model, trunk.hidden, false);
  model.max_positions = fields.get_or_zero("max_seq_len", model.max_positions, kMaxPositions);
  Fields ffn(fields.reader().object("ffn_config"));
  FeedForward moe;
  moe.kind = FfnKind::moe;
  moe.intermediate = ffn.need({"ffn_hidden_size"});
  moe.experts = ffn.need({"moe_num_experts"}, kMaxExperts);
  moe.top_k = ffn.need({"moe_top_k"}, kMaxExperts);
  check_top_k(ffn, moe.top_k, moe.experts, "moe_top_k");
  model.layers.assign(static_cast<std::size_t>(trunk.layers), {gqa(trunk), moe, false});
}

// grok-1: Mixtral's names with num_experts.
void read_grok(Fields& fields, ModelConfig& model) {
  const Trunk trunk = read_shape(fields);
  read_common(fields, model, trunk.hidden, true);
  const FeedForward moe =
      experts(fields, {"num_experts", "num_local_experts"}, fields.need({"intermediate_size"}));
  model.layers.assign(static_cast<std::size_t>(trunk.layers), {gqa(trunk), moe, false});
}

// llama4: every interleave_moe_layer_step-th layer has experts of intermediate_size and one shared
// expert of the same width; the others a dense FFN of intermediate_size_mlp. Every
// no_rope_layer_interval-th layer sees all tokens, the others a chunk.
void read_llama4(Fields& fields, ModelConfig& model) {
  const Trunk trunk = read_shape(fields);
  read_common(fields, model, trunk.hidden, false);
  FeedForward moe = experts(fields, {"num_local_experts"}, fields.need({"intermediate_size"}));
  add_shared(moe, 1, moe.intermediate);
  moe.sigmoid_router = true;
  const long step = fields.get("interleave_moe_layer_step", 1, kMaxLayers);
  const long chunk = fields.get("attention_chunk_size", 0, kMaxPositions);
  const long interval = fields.get("no_rope_layer_interval", 4, kMaxLayers);
  const auto count = static_cast<std::size_t>(trunk.layers);
  const std::vector<long> rope = fields.list("no_rope_layers", count, 1);
  const std::vector<long> moe_layers = fields.indices("moe_layers", trunk.layers);
  const Attention full = gqa(trunk);
  const auto given = from_layer_types(fields, full, trunk.layers, 0, chunk);
  for (std::size_t i = 0; i < count; ++i) {
    const auto index = static_cast<long>(i);
    Attention a = full;
    const bool local = rope.empty() ? (index + 1) % interval != 0 : rope[i] == 1;
    if (!given.empty()) {
      a = given[i];
    } else if (local) {
      a.chunk = chunk;
    }
    const bool listed = std::find(moe_layers.begin(), moe_layers.end(), index) != moe_layers.end();
    const bool sparse = moe_layers.empty() ? (index + 1) % step == 0 : listed;
    model.layers.push_back(
        {a, sparse ? moe : dense_ffn(fields.need({"intermediate_size_mlp"})), false});
  }
}

// minimax_m2: experts in every layer, as wide as intermediate_size, sigmoid router.
void read_minimax_m2(Fields& fields, ModelConfig& model) {
  const Trunk trunk = read_shape(fields);
  read_common(fields, model, trunk.hidden, false);
  FeedForward moe = experts(fields, {"num_local_experts"}, fields.need({"intermediate_size"}));
  moe.sigmoid_router =
      fields.reader().choice_or("scoring_func", "sigmoid", {"sigmoid", "softmax"}) == "sigmoid";
  add_shared(moe, 1, fields.get_or_zero("shared_intermediate_size", 0));
  model.layers.assign(static_cast<std::size_t>(trunk.layers), {gqa(trunk), moe, false});
}

}  // namespace jevons::workloads
