// The Mamba-2 state-space layer's core (arXiv 2405.21060), as a recurrence and in chunks.
//
//   h_t = exp(Δ_t A) h_{t-1} + Δ_t x_t B_tᵀ,   y_t = h_t C_t + D x_t      (h: P x N a head)
// The chunked form (SSD) does the same with matrix products: inside a chunk
// Y = (L ∘ C Bᵀ) ΔX, between chunks the carried state; exact, not an approximation. C Bᵀ is made
// once for the heads of a group. The short convolution before it is causal and depthwise.
#pragma once

#include "jevons/reference/matrix.hpp"
#include "jevons/reference/meter.hpp"

#include <vector>

namespace jevons::reference {

struct SsmShape {
  long heads = 1, head_dim = 1, state = 1, groups = 1;
};
template <class T>
struct SsmInput {
  Matrix<T> x;          ///< tokens x heads·head_dim
  Matrix<T> step;       ///< Δ after softplus, tokens x heads
  Matrix<T> b, c;       ///< tokens x groups·state
  std::vector<T> a, d;  ///< a head: A (negative) and the skip weight D
};
/// The carried state, heads x head_dim·state; zeros before the first token.
template <class T>
using SsmState = Matrix<T>;

/// Token by token; `state` is read and left behind. This is decoding.
template <class T>
[[nodiscard]] Matrix<T> ssm_recurrent(const SsmInput<T>& in, const SsmShape& shape,
                                      SsmState<T>& state, Meter* meter = nullptr);
/// In chunks of `chunk` tokens. This is prefill and training.
template <class T>
[[nodiscard]] Matrix<T> ssm_chunked(const SsmInput<T>& in, const SsmShape& shape, long chunk,
                                    SsmState<T>& state, Meter* meter = nullptr);

/// y_t = bias + Σ_k w_k x_{t-K+1+k} of each channel; w: channels x K. `tail` holds the last K - 1
/// inputs (rows x channels), zeros at first, and is left behind for the next call.
template <class T>
[[nodiscard]] Matrix<T> causal_convolution(const Matrix<T>& x, const Matrix<T>& w,
                                           const std::vector<T>& bias, Matrix<T>& tail,
                                           Meter* meter = nullptr);

}  // namespace jevons::reference
