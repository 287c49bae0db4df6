#include "jevons/reference/backward.hpp"

#include "jevons/core/error.hpp"
#include "jevons/reference/gemm.hpp"

#include <cmath>

namespace jevons::reference {
namespace {

template <class T>
void add(Matrix<T>& sum, const Matrix<T>& term) {
  for (std::size_t i = 0; i < sum.size(); ++i) sum.data()[i] += term.data()[i];
}

template <class T>
void add_cols(Matrix<T>& into, long first, const Matrix<T>& part) {
  for (long r = 0; r < part.rows(); ++r) {
    for (long c = 0; c < part.cols(); ++c) into(r, first + c) += part(r, c);
  }
}

/// Keys and values of every head from the normed latent and the shared rotary key.
template <class T>
struct Expanded {
  Matrix<T> latent, normed, kv, k, v;
};

template <class T>
Expanded<T> expand(const Matrix<T>& x, const MlaWeights<T>& w, const MlaShape& s) {
  Expanded<T> e;
  e.latent = gemm(x, w.kv_a);  // before norm and rotation
  e.normed = rms_norm(slice_cols(e.latent, 0, s.kv_rank), w.kv_norm, s.epsilon);
  e.kv = gemm(e.normed, w.kv_b);
  Matrix<T> rotary = slice_cols(e.latent, s.kv_rank, s.rope);
  apply_rope(rotary, 0, s.rope, 0, s.rotary);
  e.k = Matrix<T>(x.rows(), s.heads * s.qk_dim());
  e.v = Matrix<T>(x.rows(), s.heads * s.v_dim);
  for (long head = 0; head < s.heads; ++head) {
    const long from = head * (s.nope + s.v_dim);
    add_cols(e.k, head * s.qk_dim(), slice_cols(e.kv, from, s.nope));
    add_cols(e.k, head * s.qk_dim() + s.nope, rotary);
    add_cols(e.v, head * s.v_dim, slice_cols(e.kv, from + s.nope, s.v_dim));
  }
  return e;
}

/// From gradients of keys and values to those of x, kv_a, kv_norm and kv_b.
template <class T>
void back_to_latent(const Matrix<T>& x, const MlaWeights<T>& w, const MlaShape& s,
                    const Expanded<T>& e, const AttentionGradients<T>& g, MlaGradients<T>& out,
                    Meter* meter) {
  Matrix<T> dkv(x.rows(), w.kv_b.cols()), drotary(x.rows(), s.rope);
  for (long head = 0; head < s.heads; ++head) {
    const long to = head * (s.nope + s.v_dim);
    add_cols(dkv, to, slice_cols(g.k, head * s.qk_dim(), s.nope));
    add_cols(dkv, to + s.nope, slice_cols(g.v, head * s.v_dim, s.v_dim));
    add(drotary, slice_cols(g.k, head * s.qk_dim() + s.nope, s.rope));
  }
  rope_backward(drotary, 0, s.rope, 0, s.rotary);
  out.w.kv_b = gemm_at(e.normed, dkv, meter);
  const NormGradients<T> norm = rms_norm_backward(slice_cols(e.latent, 0, s.kv_rank), w.kv_norm,
                                                  s.epsilon, gemm_bt(dkv, w.kv_b, meter));
  out.w.kv_norm = norm.gain;
  Matrix<T> dlatent(x.rows(), s.kv_rank + s.rope);
  add_cols(dlatent, 0, norm.x);
  add_cols(dlatent, s.kv_rank, drotary);
  out.w.kv_a = gemm_at(x, dlatent, meter);
  add(out.x, gemm_bt(dlatent, w.kv_a, meter));
}

template <class T>
void back_to_query(const Matrix<T>& x, const MlaWeights<T>& w, const MlaShape& s, Matrix<T> dq,
                   MlaGradients<T>& out, Meter* meter) {
  for (long head = 0; head < s.heads; ++head) {
    rope_backward(dq, head * s.qk_dim() + s.nope, s.rope, 0, s.rotary);
  }
  if (s.q_rank == 0) {
    out.w.q_b = gemm_at(x, dq, meter);
    add(out.x, gemm_bt(dq, w.q_b, meter));
    return;
  }
  const Matrix<T> latent = gemm(x, w.q_a);
  out.w.q_b = gemm_at(rms_norm(latent, w.q_norm, s.epsilon), dq, meter);
  const NormGradients<T> norm =
      rms_norm_backward(latent, w.q_norm, s.epsilon, gemm_bt(dq, w.q_b, meter));
  out.w.q_norm = norm.gain;
  out.w.q_a = gemm_at(x, norm.x, meter);
  add(out.x, gemm_bt(norm.x, w.q_a, meter));
}

template <class T>
Matrix<T> ffn_part_backward(const workloads::FeedForward& f, const LayerWeights<T>& w,
                            const Matrix<T>& input, const Matrix<T>& dout, LayerWeights<T>& grads,
                            Meter* meter) {
  if (f.kind == workloads::FfnKind::dense) {
    FfnGradients<T> g = ffn_backward(input, w.dense, dout, meter);
    grads.dense = std::move(g.w);
    return g.x;
  }
  const RouterShape shape{f.experts, f.top_k, f.groups, f.group_limit, f.sigmoid_router};
  const Matrix<T> logits = gemm(input, w.router);
  const Routes<T> routes = route(logits, w.bias, shape);
  MoeGradients<T> g = moe_backward(input, routes, w.experts, w.shared, dout, meter);
  const Matrix<T> dlogits = route_backward(logits, routes, g.gates, shape);
  grads.experts = std::move(g.experts);
  grads.shared = std::move(g.shared);
  grads.router = gemm_at(input, dlogits, meter);
  add(g.x, gemm_bt(dlogits, w.router, meter));
  return g.x;
}

}  // namespace

template <class T>
NormGradients<T> rms_norm_backward(const Matrix<T>& x, const std::vector<T>& gain, double epsilon,
                                   const Matrix<T>& dy) {
  NormGradients<T> g{Matrix<T>(x.rows(), x.cols()), std::vector<T>(gain.size())};
  const auto n = static_cast<double>(x.cols());
  for (long r = 0; r < x.rows(); ++r) {
    double squares = 0, projected = 0;
    for (long c = 0; c < x.cols(); ++c) {
      squares += static_cast<double>(x(r, c)) * static_cast<double>(x(r, c));
    }
    const double s = 1 / std::sqrt(squares / n + epsilon);
    for (long c = 0; c < x.cols(); ++c) {
      const double seed = static_cast<double>(dy(r, c) * gain[static_cast<std::size_t>(c)]);
      projected += seed * static_cast<double>(x(r, c)) * s;
    }
    for (long c = 0; c < x.cols(); ++c) {
      const auto at = static_cast<std::size_t>(c);
      const double unit = static_cast<double>(x(r, c)) * s;
      const double seed = static_cast<double>(dy(r, c) * gain[at]);
      g.x(r, c) = static_cast<T>(s * (seed - unit * projected / n));
      g.gain[at] += static_cast<T>(static_cast<double>(dy(r, c)) * unit);
    }
  }
  return g;
}

template <class T>
void rope_backward(Matrix<T>& dx, long first, long dim, long start, const Rope& rope) {
  // The transpose of a turn by +angle: swap the pair, turn forward, swap back.
  const auto swap_pairs = [&] {
    for (long r = 0; r < dx.rows(); ++r) {
      for (long i = first; i < first + dim; i += 2) std::swap(dx(r, i), dx(r, i + 1));
    }
  };
  swap_pairs();
  apply_rope(dx, first, dim, start, rope);
  swap_pairs();
}

template <class T>
Loss<T> cross_entropy(const Matrix<T>& logits, const std::vector<long>& targets) {
  Loss<T> loss{0, logits};
  softmax_rows(loss.dlogits);
  const T tokens = static_cast<T>(logits.rows());
  for (long r = 0; r < logits.rows(); ++r) {
    const long target = targets[static_cast<std::size_t>(r)];
    loss.value -=
        std::log(static_cast<double>(loss.dlogits(r, target))) / static_cast<double>(logits.rows());
    loss.dlogits(r, target) -= T{1};
    for (long c = 0; c < logits.cols(); ++c) loss.dlogits(r, c) /= tokens;
  }
  return loss;
}

template <class T>
MlaGradients<T> mla_backward(const Matrix<T>& x, const MlaWeights<T>& w, const MlaShape& s,
                             const Matrix<T>& dout, Meter* meter) {
  MlaGradients<T> out;
  out.x = Matrix<T>(x.rows(), x.cols());
  const Matrix<T> q = mla_query(x, w, s, 0);
  const Expanded<T> e = expand(x, w, s);
  const HeadShape heads{s.heads, s.heads, s.qk_dim(), s.v_dim, 0, true, s.scale()};
  out.w.o = gemm_at(attention(q, e.k, e.v, heads), dout, meter);
  const AttentionGradients<T> g =
      attention_backward(q, e.k, e.v, gemm_bt(dout, w.o, meter), heads, meter);
  back_to_query(x, w, s, g.q, out, meter);
  back_to_latent(x, w, s, e, g, out, meter);
  return out;
}

template <class T>
LayerGradients<T> layer_backward(const Model<T>& model, long index, const Matrix<T>& x,
                                 const Matrix<T>& dout, Meter* meter) {
  const auto i = static_cast<std::size_t>(index);
  const workloads::Layer& layer = model.config().layers[i];
  const LayerWeights<T>& w = model.weights().layers[i];
  if (layer.attention.kind != workloads::AttentionKind::mla) {
    throw Error(ErrorKind::internal, "reference kernels", "layer_backward is for MLA layers");
  }
  const MlaShape shape = mla_shape(model.config(), layer.attention);
  constexpr double kEpsilon = 1e-6;
  // Forward again: the middle of the residual stream.
  const Matrix<T> normed = rms_norm(x, w.input_norm, kEpsilon);
  Matrix<T> middle = x;
  add(middle, mla_expanded(mla_query(normed, w.mla, shape, 0), mla_latent(normed, w.mla, shape, 0),
                           w.mla, shape));
  LayerGradients<T> out;
  const Matrix<T> dinput =
      ffn_part_backward(layer.ffn, w, rms_norm(middle, w.ffn_norm, kEpsilon), dout, out.w, meter);
  NormGradients<T> norm = rms_norm_backward(middle, w.ffn_norm, kEpsilon, dinput);
  out.w.ffn_norm = norm.gain;
  Matrix<T> dmiddle = dout;
  add(dmiddle, norm.x);
  MlaGradients<T> attention = mla_backward(normed, w.mla, shape, dmiddle, meter);
  out.w.mla = std::move(attention.w);
  norm = rms_norm_backward(x, w.input_norm, kEpsilon, attention.x);
  out.w.input_norm = norm.gain;
  out.x = dmiddle;
  add(out.x, norm.x);
  return out;
}

#define JEVONS_INSTANTIATE(T)                                                                    \
  template NormGradients<T> rms_norm_backward(const Matrix<T>&, const std::vector<T>&, double,   \
                                              const Matrix<T>&);                                 \
  template void rope_backward(Matrix<T>&, long, long, long, const Rope&);                        \
  template Loss<T> cross_entropy(const Matrix<T>&, const std::vector<long>&);                    \
  template MlaGradients<T> mla_backward(const Matrix<T>&, const MlaWeights<T>&, const MlaShape&, \
                                        const Matrix<T>&, Meter*);                               \
  template LayerGradients<T> layer_backward(const Model<T>&, long, const Matrix<T>&,             \
                                            const Matrix<T>&, Meter*);
JEVONS_INSTANTIATE(float)
JEVONS_INSTANTIATE(double)
#undef JEVONS_INSTANTIATE

}  // namespace jevons::reference
