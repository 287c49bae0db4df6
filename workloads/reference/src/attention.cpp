#include "jevons/reference/attention.hpp"

#include "jevons/reference/gemm.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace jevons::reference {
namespace {

/// First and one-past-last key of query `i` of `queries` over `keys`.
struct Span {
  long first, last;
};
Span span_of(const HeadShape& s, long i, long queries, long keys) {
  const long position = keys - queries + i;
  const long last = s.causal ? position + 1 : keys;
  const long first = s.window > 0 ? std::max(0L, last - s.window) : 0;
  return {first, last};
}

double scale_of(const HeadShape& s) {
  return s.scale > 0 ? s.scale : 1 / std::sqrt(static_cast<double>(s.qk_dim));
}

/// Probabilities of one query and head over its span.
template <class T>
std::vector<T> probabilities(const Matrix<T>& q, const Matrix<T>& k, const HeadShape& s, long i,
                             long head, Span span, Meter* meter) {
  const long group = head / (s.heads / s.kv_heads);
  std::vector<T> p(static_cast<std::size_t>(std::max(0L, span.last - span.first)));
  const T scale = static_cast<T>(scale_of(s));
  const T* query = q.row(i) + head * s.qk_dim;
  for (long j = span.first; j < span.last; ++j) {
    const T* key = k.row(j) + group * s.qk_dim;
    T dot{};
    for (long e = 0; e < s.qk_dim; ++e) dot += query[e] * key[e];
    if (meter != nullptr) meter->multiply_adds += static_cast<double>(s.qk_dim);
    p[static_cast<std::size_t>(j - span.first)] = dot * scale;
  }
  if (p.empty()) return p;
  const T top = *std::max_element(p.begin(), p.end());
  T sum{};
  for (T& value : p) sum += value = std::exp(value - top);
  for (T& value : p) value /= sum;
  return p;
}

/// The same by matrix products, a head at a time: for sizes where that is faster than the loops.
template <class T>
Matrix<T> attention_by_products(const Matrix<T>& q, const Matrix<T>& k, const Matrix<T>& v,
                                const HeadShape& s) {
  Matrix<T> out(q.rows(), s.heads * s.v_dim), keys, values;
  const T scale = static_cast<T>(scale_of(s));
  for (long head = 0; head < s.heads; ++head) {
    const long per_group = s.heads / s.kv_heads, group = head / per_group;
    if (head % per_group == 0) {
      keys = slice_cols(k, group * s.qk_dim, s.qk_dim);
      values = slice_cols(v, group * s.v_dim, s.v_dim);
    }
    Matrix<T> scores = gemm_bt(slice_cols(q, head * s.qk_dim, s.qk_dim), keys);
    for (long i = 0; i < scores.rows(); ++i) {
      const Span span = span_of(s, i, q.rows(), k.rows());
      for (long j = 0; j < scores.cols(); ++j) {
        const bool seen = j >= span.first && j < span.last;
        scores(i, j) = seen ? scores(i, j) * scale : -std::numeric_limits<T>::infinity();
      }
    }
    softmax_rows(scores);
    const Matrix<T> mixed = gemm(scores, values);
    for (long i = 0; i < mixed.rows(); ++i) {
      std::copy_n(mixed.row(i), s.v_dim, out.row(i) + head * s.v_dim);
    }
  }
  return out;
}

}  // namespace

template <class T>
Matrix<T> attention(const Matrix<T>& q, const Matrix<T>& k, const Matrix<T>& v, const HeadShape& s,
                    Meter* meter, AttentionStorage storage) {
  if (meter == nullptr && q.rows() * k.rows() >= kWorthProducts) {
    return attention_by_products(q, k, v, s);
  }
  Matrix<T> out(q.rows(), s.heads * s.v_dim);
  Operand read_q(meter, storage.query, q.size()), written(meter, storage.query, out.size());
  Operand read_k(meter, storage.cache, k.size()), read_v(meter, storage.cache, v.size());
  Operand statistics(meter, {TensorClass::activations, storage.statistics_bytes},
                     static_cast<std::size_t>(q.rows() * s.heads));
  const auto qk = static_cast<std::size_t>(s.qk_dim), width = static_cast<std::size_t>(s.v_dim);
  for (long i = 0; i < q.rows(); ++i) {
    const Span span = span_of(s, i, q.rows(), k.rows());
    for (long head = 0; head < s.heads; ++head) {
      const long group = head / (s.heads / s.kv_heads);
      const std::vector<T> p = probabilities(q, k, s, i, head, span, meter);
      read_q.touch_range(q.index(i, head * s.qk_dim), qk);
      T* result = out.row(i) + head * s.v_dim;
      for (long j = span.first; j < span.last; ++j) {
        const T* value = v.row(j) + group * s.v_dim;
        const T weight = p[static_cast<std::size_t>(j - span.first)];
        for (long e = 0; e < s.v_dim; ++e) result[e] += weight * value[e];
        if (meter == nullptr) continue;
        meter->multiply_adds += static_cast<double>(s.v_dim);
        read_k.touch_range(k.index(j, group * s.qk_dim), qk);
        read_v.touch_range(v.index(j, group * s.v_dim), width);
      }
      written.touch_range(out.index(i, head * s.v_dim), width);
      statistics.touch(static_cast<std::size_t>(i * s.heads + head));
    }
  }
  return out;
}

template <class T>
AttentionGradients<T> attention_backward(const Matrix<T>& q, const Matrix<T>& k, const Matrix<T>& v,
                                         const Matrix<T>& dout, const HeadShape& s, Meter* meter) {
  AttentionGradients<T> g{Matrix<T>(q.rows(), q.cols()), Matrix<T>(k.rows(), k.cols()),
                          Matrix<T>(v.rows(), v.cols())};
  const T scale = static_cast<T>(scale_of(s));
  for (long i = 0; i < q.rows(); ++i) {
    const Span span = span_of(s, i, q.rows(), k.rows());
    for (long head = 0; head < s.heads; ++head) {
      const long group = head / (s.heads / s.kv_heads);
      const std::vector<T> p = probabilities(q, k, s, i, head, span, meter);
      const T* seed = dout.row(i) + head * s.v_dim;
      std::vector<T> dp(p.size());
      T mean{};
      for (long j = span.first; j < span.last; ++j) {
        const T weight = p[static_cast<std::size_t>(j - span.first)];
        const T* value = v.row(j) + group * s.v_dim;
        T* dvalue = g.v.row(j) + group * s.v_dim;
        T dot{};
        for (long e = 0; e < s.v_dim; ++e) dot += seed[e] * value[e];
        for (long e = 0; e < s.v_dim; ++e) dvalue[e] += weight * seed[e];
        if (meter != nullptr) meter->multiply_adds += 2 * static_cast<double>(s.v_dim);
        dp[static_cast<std::size_t>(j - span.first)] = dot;
        mean += weight * dot;
      }
      for (long j = span.first; j < span.last; ++j) {
        const auto at = static_cast<std::size_t>(j - span.first);
        const T ds = p[at] * (dp[at] - mean) * scale;
        const T* query = q.row(i) + head * s.qk_dim;
        const T* key = k.row(j) + group * s.qk_dim;
        T* dquery = g.q.row(i) + head * s.qk_dim;
        T* dkey = g.k.row(j) + group * s.qk_dim;
        for (long e = 0; e < s.qk_dim; ++e) dquery[e] += ds * key[e];
        for (long e = 0; e < s.qk_dim; ++e) dkey[e] += ds * query[e];
        if (meter != nullptr) meter->multiply_adds += 2 * static_cast<double>(s.qk_dim);
      }
    }
  }
  return g;
}

template <class T>
Matrix<T> indexer_scores(const Matrix<T>& q, const Matrix<T>& k, const Matrix<T>& weights,
                         const IndexerShape& s, Meter* meter) {
  Matrix<T> scores(q.rows(), k.rows(), -std::numeric_limits<T>::infinity());
  for (long i = 0; i < q.rows(); ++i) {
    const long last = k.rows() - q.rows() + i;
    for (long j = 0; j <= last; ++j) {
      T score{};
      for (long head = 0; head < s.heads; ++head) {
        T dot{};
        const T* query = q.row(i) + head * s.dim;
        const T* key = k.row(j);
        for (long e = 0; e < s.dim; ++e) dot += query[e] * key[e];
        score += weights(i, head) * (dot + std::abs(dot)) / 2;  // ReLU without a branch
        if (meter != nullptr) {
          meter->multiply_adds += static_cast<double>(s.dim);
          meter->other_flops += 3;
        }
      }
      scores(i, j) = score;
    }
  }
  return scores;
}

template <class T>
std::vector<std::vector<long>> choose_keys(const Matrix<T>& scores, long top_k) {
  std::vector<std::vector<long>> out;
  for (long i = 0; i < scores.rows(); ++i) {
    std::vector<long> keys;
    for (long j = 0; j < scores.cols(); ++j) {
      if (std::isfinite(scores(i, j))) keys.push_back(j);
    }
    if (static_cast<long>(keys.size()) > top_k) {
      std::sort(keys.begin(), keys.end(), [&](long a, long b) {
        return scores(i, a) != scores(i, b) ? scores(i, a) > scores(i, b) : a < b;
      });
      keys.resize(static_cast<std::size_t>(top_k));
      std::sort(keys.begin(), keys.end());
    }
    out.push_back(std::move(keys));
  }
  return out;
}

#define JEVONS_INSTANTIATE(T)                                                             \
  template Matrix<T> attention(const Matrix<T>&, const Matrix<T>&, const Matrix<T>&,      \
                               const HeadShape&, Meter*, AttentionStorage);               \
  template AttentionGradients<T> attention_backward(const Matrix<T>&, const Matrix<T>&,   \
                                                    const Matrix<T>&, const Matrix<T>&,   \
                                                    const HeadShape&, Meter*);            \
  template Matrix<T> indexer_scores(const Matrix<T>&, const Matrix<T>&, const Matrix<T>&, \
                                    const IndexerShape&, Meter*);                         \
  template std::vector<std::vector<long>> choose_keys(const Matrix<T>&, long);
JEVONS_INSTANTIATE(float)
JEVONS_INSTANTIATE(double)
#undef JEVONS_INSTANTIATE

}  // namespace jevons::reference
