#include "jevons/reference/model.hpp"

#include "jevons/core/error.hpp"
#include "jevons/reference/gemm.hpp"

#include <algorithm>
#include <cmath>

namespace jevons::reference {
namespace {

using workloads::AttentionKind;
using workloads::FfnKind;

template <class T>
class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  Matrix<T> matrix(long rows, long cols) {
    std::normal_distribution<double> normal(0.0, 1 / std::sqrt(static_cast<double>(rows)));
    Matrix<T> m(rows, cols);
    for (T& v : m.data()) v = static_cast<T>(normal(engine_));
    return m;
  }
  std::vector<T> gains(long count) {
    std::uniform_real_distribution<double> uniform(0.8, 1.2);
    std::vector<T> v(static_cast<std::size_t>(count));
    for (T& x : v) x = static_cast<T>(uniform(engine_));
    return v;
  }

 private:
  std::mt19937 engine_;
};

template <class T>
FfnWeights<T> make_ffn(Random<T>& random, long hidden, long width) {
  return {random.matrix(hidden, 2 * width), random.matrix(width, hidden)};
}

template <class T>
LayerWeights<T> make_layer(Random<T>& random, const workloads::ModelConfig& m,
                           const workloads::Layer& layer) {
  const workloads::Attention& a = layer.attention;
  const workloads::FeedForward& f = layer.ffn;
  const bool known = (a.kind == AttentionKind::mla || a.kind == AttentionKind::gqa) && !a.cross &&
                     !a.bidirectional && a.chunk == 0 && f.gated && f.kind != FfnKind::none;
  if (!known) throw bad_input(m.id, "the reference model has no such layer");
  LayerWeights<T> w;
  w.input_norm = random.gains(m.hidden);
  w.ffn_norm = random.gains(m.hidden);
  if (a.kind == AttentionKind::mla) {
    if (a.q_lora_rank > 0) {
      w.mla.q_a = random.matrix(m.hidden, a.q_lora_rank);
      w.mla.q_norm = random.gains(a.q_lora_rank);
    }
    w.mla.q_b = random.matrix(a.q_lora_rank > 0 ? a.q_lora_rank : m.hidden, a.heads * a.qk_dim);
    w.mla.kv_a = random.matrix(m.hidden, a.kv_lora_rank + a.rope_dim);
    w.mla.kv_norm = random.gains(a.kv_lora_rank);
    w.mla.kv_b = random.matrix(a.kv_lora_rank, a.heads * (a.nope_dim + a.v_dim));
    w.mla.o = random.matrix(a.heads * a.v_dim, m.hidden);
  } else {
    w.gqa.qkv = random.matrix(m.hidden, a.heads * a.qk_dim + a.kv_heads * (a.qk_dim + a.v_dim));
    w.gqa.o = random.matrix(a.heads * a.v_dim, m.hidden);
  }
  if (f.kind == FfnKind::dense) {
    w.dense = make_ffn(random, m.hidden, f.intermediate);
    return w;
  }
  w.router = random.matrix(m.hidden, f.experts);
  w.bias.assign(static_cast<std::size_t>(f.experts), T{});
  for (long e = 0; e < f.experts; ++e) {
    w.experts.push_back(make_ffn(random, m.hidden, f.intermediate));
  }
  for (long e = 0; e < f.shared_experts; ++e) {
    w.shared.push_back(make_ffn(random, m.hidden, f.shared_intermediate));
  }
  return w;
}

template <class T>
Matrix<T> run_mla(const MlaShape& s, const MlaWeights<T>& w, const Matrix<T>& x, Matrix<T>& cache,
                  MlaMode mode, Meter* meter) {
  const long start = cache.rows();
  const Matrix<T> q = mla_query(x, w, s, start, meter);
  append_rows(cache, mla_latent(x, w, s, start, meter), meter);
  return mode == MlaMode::absorbed ? mla_absorbed(q, cache, w, s, meter)
                                   : mla_expanded(q, cache, w, s, meter);
}

template <class T>
Matrix<T> run_gqa(const workloads::Attention& a, const GqaWeights<T>& w, const Matrix<T>& x,
                  Matrix<T>& cache, Meter* meter) {
  const long start = cache.rows(), qw = a.heads * a.qk_dim, kw = a.kv_heads * a.qk_dim;
  const Rope rope;
  Matrix<T> qkv = gemm(x, w.qkv, meter);
  for (long head = 0; head < a.heads + a.kv_heads; ++head) {
    apply_rope(qkv, head * a.qk_dim, a.qk_dim, start, rope, meter);
  }
  append_rows(cache, slice_cols(qkv, qw, qkv.cols() - qw), meter);
  const HeadShape shape{a.heads, a.kv_heads, a.qk_dim, a.v_dim, a.window};
  AttentionStorage storage;
  if (start > 0) {
    storage.cache.tensor_class = TensorClass::kv_cache;
    storage.statistics_bytes = 0;  // no backward pass will want them
  }
  return gemm(attention(slice_cols(qkv, 0, qw), slice_cols(cache, 0, kw),
                        slice_cols(cache, kw, cache.cols() - kw), shape, meter, storage),
              w.o, meter);
}

}  // namespace

MlaShape mla_shape(const workloads::ModelConfig& model, const workloads::Attention& a) {
  MlaShape s;
  s.hidden = model.hidden;
  s.heads = a.heads;
  s.q_rank = a.q_lora_rank;
  s.kv_rank = a.kv_lora_rank;
  s.nope = a.nope_dim;
  s.rope = a.rope_dim;
  s.v_dim = a.v_dim;
  return s;
}

template <class T>
void Cache<T>::truncate(long tokens) {
  for (Matrix<T>& m : layers) {
    if (m.rows() > tokens) m = slice_rows(m, 0, tokens);
  }
}

template <class T>
Model<T>::Model(const workloads::ModelConfig& config, unsigned seed) : config_(config) {
  Random<T> random(seed);
  weights_.embedding = random.matrix(config.vocab, config.hidden);
  for (T& v : weights_.embedding.data()) {
    v *= static_cast<T>(std::sqrt(static_cast<double>(config.vocab)));
  }
  weights_.head = random.matrix(config.hidden, config.vocab);
  if (config.tied_embeddings) {
    for (long t = 0; t < config.vocab; ++t) {
      for (long c = 0; c < config.hidden; ++c) weights_.head(c, t) = weights_.embedding(t, c);
    }
  }
  weights_.final_norm = random.gains(config.hidden);
  for (const workloads::Layer& layer : config.layers) {
    weights_.layers.push_back(make_layer(random, config, layer));
  }
  for (long i = 0; i < config.mtp_modules; ++i) {
    weights_.mtp.push_back({random.gains(config.hidden), random.gains(config.hidden),
                            random.matrix(2 * config.hidden, config.hidden),
                            make_layer(random, config, workloads::mtp_layer(config))});
  }
}

template <class T>
Matrix<T> Model<T>::run(const workloads::Layer& layer, const LayerWeights<T>& w, Matrix<T> x,
                        Matrix<T>& cache, MlaMode mode, Meter* meter) const {
  const workloads::FeedForward& f = layer.ffn;
  const Matrix<T> normed = rms_norm(x, w.input_norm, 1e-6, meter);
  add_to(x,
         layer.attention.kind == AttentionKind::mla
             ? run_mla(mla_shape(config_, layer.attention), w.mla, normed, cache, mode, meter)
             : run_gqa(layer.attention, w.gqa, normed, cache, meter),
         meter);
  const Matrix<T> input = rms_norm(x, w.ffn_norm, 1e-6, meter);
  if (f.kind == FfnKind::dense) {
    add_to(x, ffn(input, w.dense, meter), meter);
    return x;
  }
  const RouterShape shape{f.experts, f.top_k, f.groups, f.group_limit, f.sigmoid_router};
  // The gate is kept in fp32 and runs fused with the choice: its bytes go with the activations.
  GemmStorage storage;
  storage.b = {TensorClass::activations, 4};
  const Routes<T> routes = route(gemm(input, w.router, meter, storage), w.bias, shape);
  add_to(x, moe(input, routes, w.experts, w.shared, meter), meter);
  return x;
}

template <class T>
Matrix<T> Model<T>::layer(long index, const Matrix<T>& x, Matrix<T>& cache, MlaMode mode,
                          Meter* meter) const {
  const auto i = static_cast<std::size_t>(index);
  return run(config_.layers[i], weights_.layers[i], x, cache, mode, meter);
}

template <class T>
Matrix<T> Model<T>::hidden(const std::vector<long>& tokens, Cache<T>& cache, MlaMode mode,
                           Meter* meter) const {
  cache.layers.resize(config_.layers.size());
  Matrix<T> x(static_cast<long>(tokens.size()), config_.hidden);
  for (std::size_t t = 0; t < tokens.size(); ++t) {
    std::copy_n(weights_.embedding.row(tokens[t]), config_.hidden, x.row(static_cast<long>(t)));
  }
  for (std::size_t i = 0; i < config_.layers.size(); ++i) {
    x = layer(static_cast<long>(i), x, cache.layers[i], mode, meter);
  }
  return x;
}

template <class T>
Matrix<T> Model<T>::logits(const Matrix<T>& hidden, Meter* meter) const {
  return gemm(rms_norm(hidden, weights_.final_norm, 1e-6), weights_.head, meter);
}

template <class T>
Matrix<T> Model<T>::mtp_hidden(long module, const Matrix<T>& hidden,
                               const std::vector<long>& next_tokens, Cache<T>& cache, MlaMode mode,
                               Meter* meter) const {
  const MtpWeights<T>& w = weights_.mtp[static_cast<std::size_t>(module)];
  cache.layers.resize(config_.mtp_modules > 0 ? static_cast<std::size_t>(config_.mtp_modules) : 0);
  const long d = config_.hidden;
  Matrix<T> tokens(hidden.rows(), d), both(hidden.rows(), 2 * d);
  for (long r = 0; r < hidden.rows(); ++r) {
    std::copy_n(weights_.embedding.row(next_tokens[static_cast<std::size_t>(r)]), d, tokens.row(r));
  }
  const Matrix<T> left = rms_norm(hidden, w.hidden_norm, 1e-6);
  const Matrix<T> right = rms_norm(tokens, w.token_norm, 1e-6);
  for (long r = 0; r < hidden.rows(); ++r) {
    std::copy_n(left.row(r), d, both.row(r));
    std::copy_n(right.row(r), d, both.row(r) + d);
  }
  return run(workloads::mtp_layer(config_), w.layer, gemm(both, w.projection, meter),
             cache.layers[static_cast<std::size_t>(module)], mode, meter);
}

#define JEVONS_INSTANTIATE(T) \
  template struct Cache<T>;   \
  template class Model<T>;
JEVONS_INSTANTIATE(float)
JEVONS_INSTANTIATE(double)
#undef JEVONS_INSTANTIATE

}  // namespace jevons::reference
