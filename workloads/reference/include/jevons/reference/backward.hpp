// Gradients of the training operators that matrix products and attention do not cover, and of one
// whole MLA or GQA layer put together from them.
//
//   RMSNorm   dx = s (g dy - x̂ mean(g dy x̂)),  x̂ = s x, s = 1 / sqrt(mean(x²) + eps);  dg = Σ dy x̂
//   RoPE      a rotation: the gradient turns back
//   loss      mean over tokens of -log softmax(logits)[target];  dlogits = (p - onehot) / tokens
#pragma once

#include "jevons/reference/model.hpp"

namespace jevons::reference {

template <class T>
struct NormGradients {
  Matrix<T> x;
  std::vector<T> gain;
};
template <class T>
[[nodiscard]] NormGradients<T> rms_norm_backward(const Matrix<T>& x, const std::vector<T>& gain,
                                                 double epsilon, const Matrix<T>& dy);
/// In place, as apply_rope.
template <class T>
void rope_backward(Matrix<T>& dx, long first, long dim, long start, const Rope& rope);

template <class T>
struct Loss {
  double value = 0;
  Matrix<T> dlogits;
};
template <class T>
[[nodiscard]] Loss<T> cross_entropy(const Matrix<T>& logits, const std::vector<long>& targets);

/// Gradients of the weights and of the input of one attention block over a whole sequence.
template <class T>
struct MlaGradients {
  Matrix<T> x;
  MlaWeights<T> w;
};
template <class T>
[[nodiscard]] MlaGradients<T> mla_backward(const Matrix<T>& x, const MlaWeights<T>& w,
                                           const MlaShape& shape, const Matrix<T>& dout,
                                           Meter* meter = nullptr);

/// One layer, forward again where a value is needed (the meter sees the backward products alone).
template <class T>
struct LayerGradients {
  Matrix<T> x;
  LayerWeights<T> w;
};
/// Gradient of layer `index` of a model with MLA attention over a whole sequence.
template <class T>
[[nodiscard]] LayerGradients<T> layer_backward(const Model<T>& model, long index,
                                               const Matrix<T>& x, const Matrix<T>& dout,
                                               Meter* meter = nullptr);

/// Loss of the next tokens and its gradient in every weight of the main model: embedding, layers,
/// final norm, head. MTP modules stay empty. Of tied embeddings the shared matrix's gradient is
/// embedding + headᵀ.
template <class T>
struct ModelGradients {
  double loss = 0;
  ModelWeights<T> w;
};
template <class T>
[[nodiscard]] ModelGradients<T> model_backward(const Model<T>& model,
                                               const std::vector<long>& tokens,
                                               const std::vector<long>& targets,
                                               Meter* meter = nullptr);

}  // namespace jevons::reference
