// A small whole model with real numbers, built from the same ModelConfig the cost model uses: MLA
// or GQA layers, dense or expert FFNs, tied or separate head, multi-token-prediction modules.
//
//   layer     x += attention(norm(x));  x += ffn(norm(x))
//   MTP       h' = M [norm(h_i); norm(embed(t_{i+1}))], one layer, shared norm and head: the token
//             after next (DeepSeek-V3 report, section 2.2)
// Weights are random: what is checked is that the code paths agree, not what the model says.
#pragma once

#include "jevons/reference/attention.hpp"
#include "jevons/reference/moe.hpp"
#include "jevons/workloads/model.hpp"

#include <random>
#include <vector>

namespace jevons::reference {

template <class T>
struct GqaWeights {
  Matrix<T> qkv;  ///< hidden x (heads·qk + kv_heads·(qk + v))
  Matrix<T> o;    ///< heads·v x hidden
};
template <class T>
struct LayerWeights {
  std::vector<T> input_norm, ffn_norm;
  MlaWeights<T> mla;
  GqaWeights<T> gqa;
  FfnWeights<T> dense;
  Matrix<T> router;     ///< hidden x experts
  std::vector<T> bias;  ///< of the aux-loss-free rule
  std::vector<FfnWeights<T>> experts, shared;
};
template <class T>
struct MtpWeights {
  std::vector<T> hidden_norm, token_norm;
  Matrix<T> projection;  ///< 2 hidden x hidden
  LayerWeights<T> layer;
};
template <class T>
struct ModelWeights {
  Matrix<T> embedding;  ///< vocab x hidden
  Matrix<T> head;       ///< hidden x vocab
  std::vector<T> final_norm;
  std::vector<LayerWeights<T>> layers;
  std::vector<MtpWeights<T>> mtp;
};

/// What each layer keeps of the tokens seen: MLA latents, or keys beside values.
template <class T>
struct Cache {
  std::vector<Matrix<T>> layers;
  [[nodiscard]] long length() const { return layers.empty() ? 0 : layers.front().rows(); }
  void truncate(long tokens);
};

/// The shape of an MLA layer of a model.
[[nodiscard]] MlaShape mla_shape(const workloads::ModelConfig& model,
                                 const workloads::Attention& attention);

enum class MlaMode { expanded, absorbed };

template <class T>
class Model {
 public:
  /// Throws Error(bad_input) for layers this reference does not have (recurrent, cross-attention).
  Model(const workloads::ModelConfig& config, unsigned seed);

  /// Final hidden states (before the last norm) of `tokens` appended to `cache`.
  [[nodiscard]] Matrix<T> hidden(const std::vector<long>& tokens, Cache<T>& cache, MlaMode mode,
                                 Meter* meter = nullptr) const;
  [[nodiscard]] Matrix<T> logits(const Matrix<T>& hidden, Meter* meter = nullptr) const;
  /// Hidden states of MTP module `module`: of position i from h_i and the token after it.
  [[nodiscard]] Matrix<T> mtp_hidden(long module, const Matrix<T>& hidden,
                                     const std::vector<long>& next_tokens, Cache<T>& cache,
                                     MlaMode mode, Meter* meter = nullptr) const;
  /// One layer over rows that follow what its cache holds.
  [[nodiscard]] Matrix<T> layer(long index, const Matrix<T>& x, Matrix<T>& cache, MlaMode mode,
                                Meter* meter = nullptr) const;
  [[nodiscard]] const ModelWeights<T>& weights() const { return weights_; }
  [[nodiscard]] ModelWeights<T>& weights() { return weights_; }
  [[nodiscard]] const workloads::ModelConfig& config() const { return config_; }

 private:
  [[nodiscard]] Matrix<T> run(const workloads::Layer& layer, const LayerWeights<T>& w, Matrix<T> x,
                              Matrix<T>& cache, MlaMode mode, Meter* meter) const;
  workloads::ModelConfig config_;
  ModelWeights<T> weights_;
};

struct Generated {
  std::vector<long> tokens;
  long steps = 0;  ///< passes of the main model after the prompt
  long drafted = 0, accepted = 0;
};
/// One token a step: the likeliest, or drawn from softmax(logits) where `random` is given.
template <class T>
[[nodiscard]] Generated generate(const Model<T>& model, const std::vector<long>& prompt, long count,
                                 std::mt19937_64* random = nullptr);
/// The same with one MTP draft a step (drawn likewise), verified by the main model over two tokens.
template <class T>
[[nodiscard]] Generated generate_with_mtp(const Model<T>& model, const std::vector<long>& prompt,
                                          long count, std::mt19937_64* random = nullptr);

}  // namespace jevons::reference
