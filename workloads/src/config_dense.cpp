// Dense decoders. Key map: the attention and FFN keys of the transformers class of each model_type.
#include "config_fields.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>

namespace jevons::workloads {
namespace {

void stack(ModelConfig& model, long layers, const Layer& layer) {
  model.layers.assign(static_cast<std::size_t>(layers), layer);
}

/// Embedding, attention and FFN under Llama's names; returns the trunk.
Trunk read_plain(Fields& fields, ModelConfig& model, bool tied, bool gated) {
  const Trunk trunk = read_shape(fields);
  read_common(fields, model, trunk.hidden, tied);
  stack(model, trunk.layers,
        {gqa(trunk), dense_ffn(fields.need({"intermediate_size"}), gated), false});
  return trunk;
}

/// Layer i gets a window unless (i + 1) % period == 0 (Gemma 2: 2, Gemma 3: 6).
void alternate_windows(Fields& fields, ModelConfig& model, long window, long period) {
  const Attention full = model.layers.front().attention;
  const auto given =
      from_layer_types(fields, full, static_cast<long>(model.layers.size()), window, 0);
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    Attention& a = model.layers[i].attention;
    if (!given.empty()) {
      a = given[i];
    } else if ((static_cast<long>(i) + 1) % period != 0) {
      a.window = window;
    }
  }
}

/// Routed and shared experts of the generic object, under DeepSeek's names.
void add_inline_experts(Fields& fields, ModelConfig& model, bool gated) {
  FeedForward moe;
  moe.kind = FfnKind::moe;
  moe.gated = gated;
  moe.experts = fields.need({"n_routed_experts"}, kMaxExperts);
  moe.top_k = fields.need({"num_experts_per_tok"}, kMaxExperts);
  check_top_k(fields, moe.top_k, moe.experts, "num_experts_per_tok");
  moe.intermediate = fields.need({"moe_intermediate_size"});
  moe.shared_experts = fields.get_or_zero("n_shared_experts", 0, kMaxExperts);
  moe.shared_intermediate = moe.shared_experts > 0 ? moe.intermediate : 0;
  read_node_limit(fields, moe);
  const auto layers = static_cast<long>(model.layers.size());
  const long dense = fields.get_or_zero("first_k_dense_replace", 0, layers);
  for (long i = dense; i < layers; ++i) model.layers[static_cast<std::size_t>(i)].ffn = moe;
}

}  // namespace

// The generic object: Llama's shape (gated FFN, embeddings apart, no biases) unless it says
// otherwise with gated_mlp, tie_word_embeddings, biases, learned_positions, parallel_block. A
// transformer with n_routed_experts has experts in all layers but the first first_k_dense_replace.
void read_inline(Fields& fields, ModelConfig& model) {
  const bool gated = fields.flag("gated_mlp", true);
  read_plain(fields, model, false, gated);
  model.learned_positions = fields.get_or_zero("learned_positions", 0, kMaxPositions);
  model.biases = fields.flag("biases", false);
  const bool parallel = fields.flag("parallel_block", false);
  const long window = fields.get("sliding_window", 0, kMaxPositions);
  for (Layer& layer : model.layers) {
    layer.parallel_block = parallel;
    layer.attention.window = window;
  }
  (void)fields.reader().choice_or("position_embedding", "rope",
                                  {"rope", "alibi", "learned", "relative", "none"});
  (void)fields.reader().optional_string("hidden_act");
  for (const char* name : {"name", "_name_or_path"}) fields.reader().ignore(name);
  if (fields.has("n_routed_experts")) add_inline_experts(fields, model, gated);
}

// llama, phi3, bitnet. Phi-3's sliding_window holds in every layer (null in Phi-4).
void read_llama(Fields& fields, ModelConfig& model) {
  read_plain(fields, model, false, true);
  const long window =
      model.model_type == "phi3" ? fields.get("sliding_window", 0, kMaxPositions) : 0;
  for (Layer& layer : model.layers) layer.attention.window = window;
}

// Mistral 7B v0.1: window of 4096 in every layer; null in later ones.
void read_mistral(Fields& fields, ModelConfig& model) {
  read_plain(fields, model, false, true);
  const long window = fields.get("sliding_window", 0, kMaxPositions);
  for (Layer& layer : model.layers) layer.attention.window = window;
}

// qwen2, qwen3: sliding_window counts only with use_sliding_window, in layers from
// max_window_layers on.
void read_qwen(Fields& fields, ModelConfig& model) {
  read_plain(fields, model, false, true);
  if (!fields.flag("use_sliding_window", false)) return;
  const long window = fields.get("sliding_window", 4096, kMaxPositions);
  const auto layers = static_cast<long>(model.layers.size());
  const long from = fields.get_or_zero("max_window_layers", 28, kMaxLayers);
  for (long i = std::min(from, layers); i < layers; ++i) {
    model.layers[static_cast<std::size_t>(i)].attention.window = window;
  }
}

void read_gemma2(Fields& fields, ModelConfig& model) {
  read_plain(fields, model, true, true);
  alternate_windows(fields, model, fields.need({"sliding_window"}, kMaxPositions), 2);
}

// Released Gemma 3 files leave out what equals the class defaults: 8 heads of 256, 4 KV heads,
// vocabulary 262208, window 4096, one global layer in 6.
void read_gemma3(Fields& fields, ModelConfig& model) {
  Trunk trunk;
  trunk.layers = fields.need({"num_hidden_layers"}, kMaxLayers);
  trunk.hidden = fields.need({"hidden_size"});
  trunk.heads = fields.get("num_attention_heads", 8, kMaxHeads);
  trunk.kv_heads = fields.get("num_key_value_heads", 4, kMaxHeads);
  check_groups(fields, trunk.heads, trunk.kv_heads, "num_key_value_heads");
  trunk.head_dim = fields.get("head_dim", 256);
  model.hidden = trunk.hidden;
  model.vocab = fields.get("vocab_size", 262208, kMaxVocab);
  model.max_positions = fields.get_or_zero("max_position_embeddings", 131072, kMaxPositions);
  model.tied_embeddings = fields.flag("tie_word_embeddings", true);
  stack(model, trunk.layers, {gqa(trunk), dense_ffn(fields.need({"intermediate_size"})), false});
  const long window = fields.get("sliding_window", 4096, kMaxPositions);
  alternate_windows(fields, model, window, fields.get("sliding_window_pattern", 6, kMaxLayers));
}

// Two matrices with squared ReLU.
void read_nemotron(Fields& fields, ModelConfig& model) {
  read_plain(fields, model, false, false);
}

// GPT-2 and GPT-3: biases, learned positions, FFN of two matrices, n_inner null = 4 d.
void read_gpt2(Fields& fields, ModelConfig& model) {
  Trunk trunk;
  trunk.layers = fields.need({"n_layer", "num_hidden_layers"}, kMaxLayers);
  trunk.hidden = fields.need({"n_embd", "hidden_size"});
  trunk.heads = trunk.kv_heads = fields.need({"n_head", "num_attention_heads"}, kMaxHeads);
  trunk.head_dim = derived_head_dim(fields, trunk.hidden, trunk.heads, "n_head");
  read_common(fields, model, trunk.hidden, true);
  model.learned_positions = fields.need({"n_positions", "n_ctx"}, kMaxPositions);
  model.max_positions = model.learned_positions;
  model.biases = true;
  stack(model, trunk.layers,
        {gqa(trunk), dense_ffn(fields.get("n_inner", 4 * trunk.hidden, 4 * kMaxWidth), false),
         false});
}

// PaLM: attention and a gated FFN read the same norm; one KV head.
void read_palm(Fields& fields, ModelConfig& model) {
  read_plain(fields, model, true, true);
  const bool parallel = fields.flag("parallel_attn", true);
  for (Layer& layer : model.layers) layer.parallel_block = parallel;
}

}  // namespace jevons::workloads
