// Attention: grouped-query with windows; multi-head latent attention expanded and absorbed; the
// sparse indexer of DeepSeek-V3.2.
//
//   GQA       o_h = softmax(scale q_h Kᵀ_g(h)) V_g(h)
//   MLA       c = norm(x W_dkv), k_h = [c W_uk_h, rope(x W_kr)], v_h = c W_uv_h: expanded.
//             Absorbed: q_h W_ukᵀ_h meets c itself, and W_uv_h follows the weighted sum of c, so
//             that the cache holds c and the rotary key alone (DeepSeek-V2 report, section 2.1).
//   Indexer   I(t, s) = Σ_j w(t, j) ReLU(q(t, j) · k(s)); attention reads the top k of s ≤ t
//             (DeepSeek-V3.2-Exp report, equation 1-2).
#pragma once

#include "jevons/reference/elementwise.hpp"
#include "jevons/reference/matrix.hpp"
#include "jevons/reference/meter.hpp"

#include <vector>

namespace jevons::reference {

/// Without a Meter, from so many pairs of query and key (absorbed: of query head and key), whole
/// matrix products take the place of the loops; masked scores are then made and thrown away.
inline constexpr long kWorthProducts = 1024;

struct HeadShape {
  long heads = 1, kv_heads = 1, qk_dim = 64, v_dim = 64;
  long window = 0;  ///< keys a query sees at most, itself included; 0 = all
  bool causal = true;
  double scale = 0;  ///< 0 = 1 / sqrt(qk_dim)
};
struct AttentionStorage {
  Storage cache{TensorClass::activations, 2};  ///< K and V; kv_cache when decoding
  Storage query{TensorClass::activations, 2};
  double statistics_bytes = 4;  ///< log-sum-exp of a query and head, kept for the backward pass
};

/// q: queries x heads·qk_dim, the last positions of the keys; k, v: keys x kv_heads·dim.
template <class T>
[[nodiscard]] Matrix<T> attention(const Matrix<T>& q, const Matrix<T>& k, const Matrix<T>& v,
                                  const HeadShape& shape, Meter* meter = nullptr,
                                  AttentionStorage storage = {});
/// Gradients of the same, from those of its output.
template <class T>
struct AttentionGradients {
  Matrix<T> q, k, v;
};
template <class T>
[[nodiscard]] AttentionGradients<T> attention_backward(const Matrix<T>& q, const Matrix<T>& k,
                                                       const Matrix<T>& v, const Matrix<T>& out,
                                                       const HeadShape& shape,
                                                       Meter* meter = nullptr);

struct MlaShape {
  long hidden = 0, heads = 0, q_rank = 0, kv_rank = 0, nope = 0, rope = 0, v_dim = 0;
  Rope rotary;
  double epsilon = 1e-6;
  [[nodiscard]] long qk_dim() const { return nope + rope; }
  [[nodiscard]] double scale() const;
};
template <class T>
struct MlaWeights {
  Matrix<T> q_a;  ///< hidden x q_rank; empty without a query latent
  std::vector<T> q_norm;
  Matrix<T> q_b;   ///< q_rank (or hidden) x heads·(nope + rope)
  Matrix<T> kv_a;  ///< hidden x (kv_rank + rope)
  std::vector<T> kv_norm;
  Matrix<T> kv_b;  ///< kv_rank x heads·(nope + v_dim), a head's key part first
  Matrix<T> o;     ///< heads·v_dim x hidden
};
/// Rows of normalised latent and rotated key, kv_rank + rope wide: the whole cache.
template <class T>
[[nodiscard]] Matrix<T> mla_latent(const Matrix<T>& x, const MlaWeights<T>& w,
                                   const MlaShape& shape, long start, Meter* meter = nullptr);
/// Queries with their rotary part turned, rows x heads·(nope + rope).
template <class T>
[[nodiscard]] Matrix<T> mla_query(const Matrix<T>& x, const MlaWeights<T>& w, const MlaShape& shape,
                                  long start, Meter* meter = nullptr);
/// MHA mode: keys and values of every head are made from the cache.
template <class T>
[[nodiscard]] Matrix<T> mla_expanded(const Matrix<T>& q, const Matrix<T>& cache,
                                     const MlaWeights<T>& w, const MlaShape& shape,
                                     Meter* meter = nullptr);
/// MQA mode. `chosen` lists the keys each query reads; empty = all before it.
template <class T>
[[nodiscard]] Matrix<T> mla_absorbed(const Matrix<T>& q, const Matrix<T>& cache,
                                     const MlaWeights<T>& w, const MlaShape& shape,
                                     Meter* meter = nullptr,
                                     const std::vector<std::vector<long>>& chosen = {});
/// The core of MQA mode: latent queries (rows x heads·(kv_rank + rope)) over the cache, giving
/// rows x heads·kv_rank.
template <class T>
[[nodiscard]] Matrix<T> mla_core(const Matrix<T>& latent_q, const Matrix<T>& cache,
                                 const MlaShape& shape, Meter* meter = nullptr,
                                 const std::vector<std::vector<long>>& chosen = {});

struct IndexerShape {
  long heads = 1, dim = 1, top_k = 1;
};
/// Scores of every key at or before each query (later ones are -infinity).
template <class T>
[[nodiscard]] Matrix<T> indexer_scores(const Matrix<T>& q, const Matrix<T>& k,
                                       const Matrix<T>& weights, const IndexerShape& shape,
                                       Meter* meter = nullptr);
/// The top k of each row among finite scores, in order of position.
template <class T>
[[nodiscard]] std::vector<std::vector<long>> choose_keys(const Matrix<T>& scores, long top_k);

}  // namespace jevons::reference
