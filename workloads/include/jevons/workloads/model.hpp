// A transformer (or state-space) model as a list of layers, read from a Hugging Face config.json.
// Sources of the formulas: the layer definitions; published counts are in
// tests/truth/conventions.json.
#pragma once

#include "jevons/core/json_reader.hpp"
#include "jevons/core/precision.hpp"
#include "jevons/core/provenance.hpp"
#include "jevons/core/units.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace jevons::workloads {

enum class AttentionKind {
  none,       ///< no token mixer in this layer
  gqa,        ///< MHA, GQA, MQA; window, chunk
  mla,        ///< multi-head latent attention; optional sparse indexer (DSA)
  lightning,  ///< linear attention (MiniMax-Text-01)
  mamba1,
  mamba2,
  retention
};

/// The token mixer of one layer. Only the fields of its kind are set. Widths in elements.
struct Attention {
  AttentionKind kind = AttentionKind::gqa;
  long heads = 0, kv_heads = 0;
  long qk_dim = 0;  ///< per head, of queries and keys (MLA: nope + rope)
  long v_dim = 0;   ///< per head, of values
  long window = 0;  ///< keys a query sees at most (sliding window); 0 = all
  long chunk = 0;   ///< chunked attention (Llama 4); 0 = none
  long q_lora_rank = 0, kv_lora_rank = 0, nope_dim = 0, rope_dim = 0;  // MLA; q_lora_rank 0 = none
  long index_heads = 0, index_dim = 0, index_topk = 0;                 // DSA
  long inner = 0, state = 0, conv = 0, dt_rank = 0, groups = 0, ssm_heads = 0;  // Mamba
  long key_width = 0, value_width = 0;  // retention: totals over `heads`
  bool cross = false;                   ///< cross-attention of a decoder (switch_transformers)
  bool bidirectional = false;  ///< encoder self-attention: sees every token, keeps no cache
  friend bool operator==(const Attention&, const Attention&) = default;
};

enum class FfnKind { none, dense, moe };

struct FeedForward {
  FfnKind kind = FfnKind::dense;
  long intermediate = 0;  ///< dense width; MoE: width of one routed expert
  bool gated = true;      ///< three matrices (gate, up, down) against two
  long experts = 0, top_k = 0;
  long shared_experts = 0;
  long shared_intermediate = 0;      ///< width of one shared expert
  long groups = 1, group_limit = 1;  ///< node-limited routing: a token visits ≤ group_limit groups
  bool sigmoid_router = false;
  bool expert_bias = false;  ///< gpt-oss: biases k(2m + d) active
  friend bool operator==(const FeedForward&, const FeedForward&) = default;
};

struct Layer {
  Attention attention;
  FeedForward ffn;
  bool parallel_block = false;  ///< attention and FFN read the same norm (PaLM)
  friend bool operator==(const Layer&, const Layer&) = default;
};

struct ModelConfig {
  std::string id;  ///< preset id or file name; empty from model_from_config: the caller names it
  std::string name;
  std::string model_type;  ///< as in config.json; "" for an inline object without one
  long hidden = 0, vocab = 0, max_positions = 0;
  long learned_positions = 0;  ///< rows of a learned position table; 0 = none
  bool tied_embeddings = false;
  /// Biases and norm weights counted (GPT-2/3 style): 9 d + f a layer with full-width heads.
  bool biases = false;
  long mtp_modules = 0;  ///< num_nextn_predict_layers
  std::vector<Layer> layers;
  std::optional<NumberFormat> published_weights;  ///< quantization_config of the published weights
  Source source;                                  ///< of the configuration
};

/// Runs of equal layers, in order: (first index, count).
struct LayerRun {
  long first = 0, count = 0;
};
[[nodiscard]] std::vector<LayerRun> layer_runs(const ModelConfig& model);

/// The layer of an MTP module: one more layer like the last one (DeepSeek-V3 report, section 2.2).
[[nodiscard]] const Layer& mtp_layer(const ModelConfig& model);

// ---- counts (norm weights and small biases left out except where facts name them) ----

/// Parameters of the projections of one token mixer.
[[nodiscard]] double attention_parameters(const ModelConfig& model, const Attention& attention);
/// All experts, router included.
[[nodiscard]] double ffn_parameters(const ModelConfig& model, const FeedForward& ffn);
[[nodiscard]] double router_parameters(const ModelConfig& model, const FeedForward& ffn);
/// Parameters whose matmul one token runs through in this FFN: top-k and shared experts, no router.
[[nodiscard]] double ffn_matmul_parameters(const ModelConfig& model, const FeedForward& ffn);

struct ModelCounts {
  double parameters_total = 0.0;
  double parameters_active = 0.0;  ///< output head and router in, input embedding out
  double parameters_active_with_embedding = 0.0;
  double matmul_parameters = 0.0;  ///< N_mm: head in, embedding, router, MTP out
  double router_parameters = 0.0;
  double mtp_parameters = 0.0;                               ///< unique to the MTP modules
  double embedding_parameters = 0.0, head_parameters = 0.0;  ///< head 0 when tied
  double kv_elements_per_token = 0.0;                        ///< windows not applied
  double state_elements_per_sequence = 0.0;                  ///< recurrent state
};
[[nodiscard]] ModelCounts count(const ModelConfig& model);

/// KV-cache bytes of one token in one layer. DSA adds its index keys only when `with_index`
/// (132 bytes each: fp8 with fp32 scales, DeepSeek-V3.2-Exp report).
[[nodiscard]] double kv_bytes_per_token(const Attention& attention, NumberFormat format,
                                        bool with_index = false);
/// Over all layers, index keys left out as published tables do.
[[nodiscard]] double kv_bytes_per_token(const ModelConfig& model, NumberFormat format);
/// Engines keep the states of selective scans in 32 bits, for the errors of their sums grow with
/// the sequence (NVIDIA-Nemotron-Nano-9B-v2 model card: "add --mamba_ssm_cache_dtype float32 for
/// accurate quality"), and those of linear attention too.
inline constexpr double kRecurrentStateBytes = 4;
/// Bytes a sequence of `tokens` holds: windows, chunks and recurrent states applied.
[[nodiscard]] double kv_bytes_of_sequence(const ModelConfig& model, NumberFormat format,
                                          double tokens);

/// Mean keys a query sees over a sequence of s tokens: causal s/2, window w - w²/(2s), chunk c/2;
/// non-causal s, min(s, w), min(s, c).
[[nodiscard]] double mean_keys(const Attention& attention, double sequence, bool causal);
/// Forward FLOPs of the attention core of one query over `keys` keys in one layer (MLA expanded,
/// DSA dense). Recurrent mixers do the same work whatever `keys` is: lightning 4 h e² and retention
/// 4 dqk dv / h (state update and read), Mamba-1 9 di N, Mamba-2 7 di N (see counts.cpp).
[[nodiscard]] double attention_flops(const Attention& attention, double keys);

/// Training FLOPs per token = 6 N_mm + 3 × attention forward (contract, section 2), MTP when
/// trained.
struct TrainingFlops {
  double causal = 0.0, noncausal = 0.0;
};
[[nodiscard]] TrainingFlops training_flops_per_token(const ModelConfig& model, double sequence,
                                                     bool with_mtp);

// ---- reading ----

/// Reads a Hugging Face config.json, unchanged as published. Throws Error(bad_input) naming an
/// unknown model_type (with the nearest known) or the missing key. Keys that do not bear on cost
/// are ignored; a key left out takes the default of the transformers class where released files
/// leave it out. An object without model_type is the generic decoder described in config_dense.cpp,
/// and there an unknown key is an error.
[[nodiscard]] ModelConfig model_from_config(const Json& config, const std::string& file,
                                            const std::string& pointer = "");
/// The config with the keys of `overrides` replaced (inside text_config where there is one). When
/// num_hidden_layers shrinks, lists with one entry a layer keep their first entries. Throws
/// Error(bad_input) at `where` when a key that the config did not have means nothing to its family.
[[nodiscard]] Json with_overrides(Json config, const Json& overrides, std::string_view where);
/// model_type values understood.
[[nodiscard]] std::vector<std::string> known_model_types();

struct ModelPreset {
  std::string id, name;
  std::vector<std::string> aliases;
};
[[nodiscard]] std::vector<ModelPreset> model_presets();
/// A preset id or alias, or a path to a config.json. Throws Error(bad_input) with the nearest
/// names.
[[nodiscard]] ModelConfig model(std::string_view id_or_path, std::string_view where);
/// The config of a preset or file with keys replaced (scenario `model_overrides`), then read.
[[nodiscard]] ModelConfig model(std::string_view id_or_path, const Json& overrides,
                                std::string_view where);

}  // namespace jevons::workloads
