// The whole model backward, from the loss to the embedding, a layer at a time; inputs of layers are
// kept from the forward pass, all else is computed again (full recomputation).
#include "jevons/reference/backward.hpp"
#include "jevons/reference/gemm.hpp"

namespace jevons::reference {

template <class T>
ModelGradients<T> model_backward(const Model<T>& model, const std::vector<long>& tokens,
                                 const std::vector<long>& targets, Meter* meter) {
  const ModelWeights<T>& w = model.weights();
  const auto layers = static_cast<long>(w.layers.size());
  constexpr double kEpsilon = 1e-6;
  std::vector<Matrix<T>> inputs{Matrix<T>(static_cast<long>(tokens.size()), w.embedding.cols())};
  for (long t = 0; t < inputs[0].rows(); ++t) {
    const T* row = w.embedding.row(tokens[static_cast<std::size_t>(t)]);
    for (long c = 0; c < inputs[0].cols(); ++c) inputs[0](t, c) = row[c];
  }
  for (long i = 0; i < layers; ++i) {
    Matrix<T> cache;
    inputs.push_back(model.layer(i, inputs.back(), cache, MlaMode::expanded));
  }
  const Matrix<T> normed = rms_norm(inputs.back(), w.final_norm, kEpsilon);
  const Loss<T> loss = cross_entropy(gemm(normed, w.head), targets);
  ModelGradients<T> g;
  g.loss = loss.value;
  g.w.head = gemm_at(normed, loss.dlogits, meter);
  NormGradients<T> norm = rms_norm_backward(inputs.back(), w.final_norm, kEpsilon,
                                            gemm_bt(loss.dlogits, w.head, meter));
  g.w.final_norm = std::move(norm.gain);
  Matrix<T> dx = std::move(norm.x);
  g.w.layers.resize(w.layers.size());
  for (long i = layers - 1; i >= 0; --i) {
    const auto at = static_cast<std::size_t>(i);
    LayerGradients<T> layer = layer_backward(model, i, inputs[at], dx, meter);
    g.w.layers[at] = std::move(layer.w);
    dx = std::move(layer.x);
  }
  g.w.embedding = Matrix<T>(w.embedding.rows(), w.embedding.cols());
  for (long t = 0; t < dx.rows(); ++t) {  // a token that comes twice gathers both gradients
    T* row = g.w.embedding.row(tokens[static_cast<std::size_t>(t)]);
    for (long c = 0; c < dx.cols(); ++c) row[c] += dx(t, c);
  }
  return g;
}

template ModelGradients<float> model_backward(const Model<float>&, const std::vector<long>&,
                                              const std::vector<long>&, Meter*);
template ModelGradients<double> model_backward(const Model<double>&, const std::vector<long>&,
                                               const std::vector<long>&, Meter*);

}  // namespace jevons::reference
