// Reading model dimensions out of a config.json with the limits every family shares. Private.
#pragma once

#include "jevons/workloads/model.hpp"

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace jevons::workloads {

// Far above any model, far below what overflows a count: 2^53 is 9e15.
inline constexpr long kMaxWidth = 4'194'304;
inline constexpr long kMaxLayers = 10'000;
inline constexpr long kMaxHeads = 65'536;
inline constexpr long kMaxVocab = 100'000'000;
inline constexpr long kMaxExperts = 1'000'000;
inline constexpr long kMaxPositions = 10'000'000'000;

/// One config object. Names differ between families: the first key present counts.
class Fields {
 public:
  explicit Fields(const ObjectReader& reader) : reader_(reader) {}

  /// Required; a missing one names the first key.
  [[nodiscard]] long need(std::initializer_list<std::string_view> keys, long high = kMaxWidth);
  /// 1 … high, or `fallback` when absent or null.
  [[nodiscard]] long get(std::string_view key, long fallback, long high = kMaxWidth);
  /// 0 … high, or `fallback` when absent or null.
  [[nodiscard]] long get_or_zero(std::string_view key, long fallback, long high = kMaxWidth);
  [[nodiscard]] bool flag(std::string_view key, bool fallback);
  /// A list of `count` whole numbers 0 … high; empty when absent, null or empty.
  [[nodiscard]] std::vector<long> list(std::string_view key, std::size_t count, long high);
  /// Layer indices 0 … layers - 1; empty when absent or null.
  [[nodiscard]] std::vector<long> indices(std::string_view key, long layers);
  /// A list of `count` texts; empty when absent or null.
  [[nodiscard]] std::vector<std::string> texts(std::string_view key, std::size_t count);
  [[nodiscard]] bool has(std::string_view key) const { return reader_.has_value(key); }
  [[nodiscard]] ObjectReader& reader() { return reader_; }
  [[nodiscard]] std::string where(std::string_view key) const { return reader_.where(key); }

 private:
  [[nodiscard]] const Json* array(std::string_view key, std::size_t count);
  ObjectReader reader_;
};

/// Model-wide dimensions under their usual names.
struct Trunk {
  long layers = 0, hidden = 0, heads = 0, kv_heads = 0, head_dim = 0;
};
/// num_hidden_layers, hidden_size, num_attention_heads, num_key_value_heads (default: heads),
/// head_dim (default: hidden / heads). Checks that heads divide by KV heads.
[[nodiscard]] Trunk read_shape(Fields& fields);
/// heads % kv_heads == 0, or an error at `key`.
void check_groups(const Fields& fields, long heads, long kv_heads, std::string_view key);
/// hidden / heads when it is whole, or an error that asks for `key`.
[[nodiscard]] long derived_head_dim(const Fields& fields, long hidden, long heads,
                                    std::string_view key);
[[nodiscard]] Attention gqa(const Trunk& shape);
/// Attention kinds per layer from `layer_types` ("sliding_attention", "chunked_attention",
/// "full_attention"); `window` and `chunk` are what such a layer gets. Empty when the key is
/// absent.
[[nodiscard]] std::vector<Attention> from_layer_types(Fields& fields, const Attention& full,
                                                      long layers, long window, long chunk);

/// hidden, vocab, positions, tie. `tied` is the default of the transformers class.
void read_common(Fields& fields, ModelConfig& model, long hidden, bool tied);

[[nodiscard]] FeedForward dense_ffn(long intermediate, bool gated = true);
/// Checks top_k ≤ experts at `key`.
void check_top_k(const Fields& fields, long top_k, long experts, std::string_view key);
/// n_group and topk_group.
void read_node_limit(Fields& fields, FeedForward& moe);

using FamilyReader = void (*)(Fields&, ModelConfig&);
/// A model family: what reads it. The table is in config.cpp.
struct Family {
  std::string_view model_type;
  FamilyReader read;
  /// Key of a nested object that holds the language model ("text_config"); empty = none.
  std::string_view nested;
};

// config_dense.cpp
void read_inline(Fields&, ModelConfig&);
void read_llama(Fields&, ModelConfig&);
void read_mistral(Fields&, ModelConfig&);
void read_qwen(Fields&, ModelConfig&);
void read_gemma2(Fields&, ModelConfig&);
void read_gemma3(Fields&, ModelConfig&);
void read_nemotron(Fields&, ModelConfig&);
void read_gpt2(Fields&, ModelConfig&);
void read_palm(Fields&, ModelConfig&);
// config_moe.cpp
void read_mixtral(Fields&, ModelConfig&);
void read_qwen_moe(Fields&, ModelConfig&);
void read_deepseek_gqa(Fields&, ModelConfig&);
void read_deepseek_mla(Fields&, ModelConfig&);
void read_gpt_oss(Fields&, ModelConfig&);
void read_dbrx(Fields&, ModelConfig&);
void read_grok(Fields&, ModelConfig&);
void read_llama4(Fields&, ModelConfig&);
void read_minimax_m2(Fields&, ModelConfig&);
// config_hybrid.cpp
void read_minimax_text(Fields&, ModelConfig&);
void read_jamba(Fields&, ModelConfig&);
void read_mamba(Fields&, ModelConfig&);
void read_mamba2(Fields&, ModelConfig&);
void read_nemotron_h(Fields&, ModelConfig&);
void read_retnet(Fields&, ModelConfig&);
void read_switch(Fields&, ModelConfig&);

/// Reads a config of which only the keys in `strict` must be understood (those a scenario
/// replaces).
[[nodiscard]] ModelConfig read_config(const Json& config, const std::string& file,
                                      const std::string& pointer,
                                      const std::vector<std::string>& strict);

}  // namespace jevons::workloads
