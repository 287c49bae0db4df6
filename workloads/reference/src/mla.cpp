#include "jevons/reference/attention.hpp"
#include "jevons/reference/gemm.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace jevons::reference {
namespace {

/// Turns the last `rope` columns of each of `heads` blocks `width` wide.
template <class T>
void rotate_heads(Matrix<T>& x, long heads, long width, long rope, long start, const Rope& how,
                  Meter* meter) {
  for (long head = 0; head < heads; ++head) {
    apply_rope(x, head * width + width - rope, rope, start, how, meter);
  }
}

/// One head's key half (nope columns) or value half of kv_b.
template <class T>
Matrix<T> head_part(const Matrix<T>& kv_b, const MlaShape& s, long head, bool value) {
  const long width = s.nope + s.v_dim;
  return slice_cols(kv_b, head * width + (value ? s.nope : 0), value ? s.v_dim : s.nope);
}

template <class T>
void place_cols(Matrix<T>& into, long first, const Matrix<T>& part) {
  for (long r = 0; r < part.rows(); ++r) {
    for (long c = 0; c < part.cols(); ++c) into(r, first + c) = part(r, c);
  }
}

/// All heads of all queries share the cache: two products over (rows · heads) latent queries.
template <class T>
Matrix<T> core_by_products(const Matrix<T>& latent_q, const Matrix<T>& cache, const MlaShape& s) {
  const long queries = latent_q.rows();
  Matrix<T> q(queries * s.heads, s.kv_rank + s.rope);
  q.data() = latent_q.data();
  Matrix<T> scores = gemm_bt(q, cache);
  const T scale = static_cast<T>(s.scale());
  for (long r = 0; r < scores.rows(); ++r) {
    const long last = cache.rows() - queries + r / s.heads;
    for (long j = 0; j < scores.cols(); ++j) {
      scores(r, j) = j <= last ? scores(r, j) * scale : -std::numeric_limits<T>::infinity();
    }
  }
  softmax_rows(scores);
  Matrix<T> out(queries, s.heads * s.kv_rank);
  out.data() = gemm(scores, slice_cols(cache, 0, s.kv_rank)).data();
  return out;
}

}  // namespace

double MlaShape::scale() const {
  return yarn_softmax_scale(rotary) / std::sqrt(static_cast<double>(qk_dim()));
}

template <class T>
Matrix<T> mla_latent(const Matrix<T>& x, const MlaWeights<T>& w, const MlaShape& s, long start,
                     Meter* meter) {
  Matrix<T> latent = gemm(x, w.kv_a, meter);
  const Matrix<T> normed = rms_norm(slice_cols(latent, 0, s.kv_rank), w.kv_norm, s.epsilon, meter);
  place_cols(latent, 0, normed);
  apply_rope(latent, s.kv_rank, s.rope, start, s.rotary, meter);
  return latent;
}

template <class T>
Matrix<T> mla_query(const Matrix<T>& x, const MlaWeights<T>& w, const MlaShape& s, long start,
                    Meter* meter) {
  Matrix<T> q =
      s.q_rank > 0 ? gemm(rms_norm(gemm(x, w.q_a, meter), w.q_norm, s.epsilon, meter), w.q_b, meter)
                   : gemm(x, w.q_b, meter);
  rotate_heads(q, s.heads, s.qk_dim(), s.rope, start, s.rotary, meter);
  return q;
}

template <class T>
Matrix<T> mla_expanded(const Matrix<T>& q, const Matrix<T>& cache, const MlaWeights<T>& w,
                       const MlaShape& s, Meter* meter) {
  const Matrix<T> kv = gemm(slice_cols(cache, 0, s.kv_rank), w.kv_b, meter);
  Matrix<T> k(cache.rows(), s.heads * s.qk_dim()), v(cache.rows(), s.heads * s.v_dim);
  const long width = s.nope + s.v_dim;
  const Matrix<T> rotary = slice_cols(cache, s.kv_rank, s.rope);
  // Keys are put together from two tensors; values stay where they are (the copy is this code's).
  Operand read_kv(meter, {}, kv.size()), read_rotary(meter, {}, rotary.size());
  Operand written(meter, {}, k.size());
  for (long head = 0; head < s.heads; ++head) {
    for (long r = 0; meter != nullptr && r < k.rows(); ++r) {
      read_kv.touch_range(kv.index(r, head * width), static_cast<std::size_t>(s.nope));
      read_rotary.touch_range(rotary.index(r, 0), static_cast<std::size_t>(s.rope));
      written.touch_range(k.index(r, head * s.qk_dim()), static_cast<std::size_t>(s.qk_dim()));
    }
    place_cols(k, head * s.qk_dim(), slice_cols(kv, head * width, s.nope));
    place_cols(k, head * s.qk_dim() + s.nope, rotary);
    place_cols(v, head * s.v_dim, slice_cols(kv, head * width + s.nope, s.v_dim));
  }
  HeadShape heads{s.heads, s.heads, s.qk_dim(), s.v_dim, 0, true, s.scale()};
  return gemm(attention(q, k, v, heads, meter), w.o, meter);
}

template <class T>
Matrix<T> mla_core(const Matrix<T>& latent_q, const Matrix<T>& cache, const MlaShape& s,
                   Meter* meter, const std::vector<std::vector<long>>& chosen) {
  const long width = s.kv_rank + s.rope, queries = latent_q.rows();
  if (meter == nullptr && chosen.empty() && queries * s.heads * cache.rows() >= kWorthProducts) {
    return core_by_products(latent_q, cache, s);
  }
  const T scale = static_cast<T>(s.scale());
  Matrix<T> out(queries, s.heads * s.kv_rank);
  Operand read_cache(meter, {TensorClass::kv_cache, 2}, cache.size());
  Operand read_q(meter, {TensorClass::activations, 2}, latent_q.size());
  Operand written(meter, {TensorClass::activations, 2}, out.size());
  for (long i = 0; i < queries; ++i) {
    std::vector<long> keys;
    if (chosen.empty()) {
      for (long j = 0; j <= cache.rows() - queries + i; ++j) keys.push_back(j);
    } else {
      keys = chosen[static_cast<std::size_t>(i)];
    }
    for (long head = 0; head < s.heads; ++head) {
      Matrix<T> p(1, static_cast<long>(keys.size()));
      const T* query = latent_q.row(i) + head * width;
      read_q.touch_range(latent_q.index(i, head * width), static_cast<std::size_t>(width));
      for (std::size_t j = 0; j < keys.size(); ++j) {
        const T* key = cache.row(keys[j]);
        T dot{};
        for (long e = 0; e < width; ++e) dot += query[e] * key[e];
        p.data()[j] = dot * scale;
        if (meter != nullptr) meter->multiply_adds += static_cast<double>(width);
        read_cache.touch_range(cache.index(keys[j], 0), static_cast<std::size_t>(width));
      }
      softmax_rows(p);
      T* result = out.row(i) + head * s.kv_rank;
      for (std::size_t j = 0; j < keys.size(); ++j) {
        const T* key = cache.row(keys[j]);
        for (long e = 0; e < s.kv_rank; ++e) result[e] += p.data()[j] * key[e];
        if (meter != nullptr) meter->multiply_adds += static_cast<double>(s.kv_rank);
      }
      written.touch_range(out.index(i, head * s.kv_rank), static_cast<std::size_t>(s.kv_rank));
    }
  }
  return out;
}

template <class T>
Matrix<T> mla_absorbed(const Matrix<T>& q, const Matrix<T>& cache, const MlaWeights<T>& w,
                       const MlaShape& s, Meter* meter,
                       const std::vector<std::vector<long>>& chosen) {
  const long width = s.kv_rank + s.rope;
  Matrix<T> latent_q(q.rows(), s.heads * width);
  for (long head = 0; head < s.heads; ++head) {
    const Matrix<T> nope = slice_cols(q, head * s.qk_dim(), s.nope);
    place_cols(latent_q, head * width, gemm_bt(nope, head_part(w.kv_b, s, head, false), meter));
    place_cols(latent_q, head * width + s.kv_rank,
               slice_cols(q, head * s.qk_dim() + s.nope, s.rope));
  }
  const Matrix<T> mixed = mla_core(latent_q, cache, s, meter, chosen);
  Matrix<T> values(q.rows(), s.heads * s.v_dim);
  for (long head = 0; head < s.heads; ++head) {
    const Matrix<T> latent = slice_cols(mixed, head * s.kv_rank, s.kv_rank);
    place_cols(values, head * s.v_dim, gemm(latent, head_part(w.kv_b, s, head, true), meter));
  }
  return gemm(values, w.o, meter);
}

#define JEVONS_INSTANTIATE(T)                                                                  \
  template Matrix<T> mla_latent(const Matrix<T>&, const MlaWeights<T>&, const MlaShape&, long, \
                                Meter*);                                                       \
  template Matrix<T> mla_query(const Matrix<T>&, const MlaWeights<T>&, const MlaShape&, long,  \
                               Meter*);                                                        \
  template Matrix<T> mla_expanded(const Matrix<T>&, const Matrix<T>&, const MlaWeights<T>&,    \
                                  const MlaShape&, Meter*);                                    \
  template Matrix<T> mla_core(const Matrix<T>&, const Matrix<T>&, const MlaShape&, Meter*,     \
                              const std::vector<std::vector<long>>&);                          \
  template Matrix<T> mla_absorbed(const Matrix<T>&, const Matrix<T>&, const MlaWeights<T>&,    \
                                  const MlaShape&, Meter*, const std::vector<std::vector<long>>&);
JEVONS_INSTANTIATE(float)
JEVONS_INSTANTIATE(double)
#undef JEVONS_INSTANTIATE

}  // namespace jevons::reference
