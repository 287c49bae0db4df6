// Norms, activations, rotary positions, softmax.
//
//   RMSNorm   y = x g / sqrt(mean(x²) + eps)
//   SwiGLU    y = silu(gate) · up,  silu(z) = z / (1 + e^-z)
//   RoPE      each pair (x₂ᵢ, x₂ᵢ₊₁) turns by position · θᵢ, θᵢ = base^(-2i/r)
//   YaRN      θᵢ is divided by `factor` where its wavelength is long and kept where it is short,
//             with a ramp between the dimensions that turn beta_slow and beta_fast times over the
//             original context; attention scores grow by mscale² (arXiv 2309.00071, section 3).
#pragma once

#include "jevons/reference/matrix.hpp"
#include "jevons/reference/meter.hpp"

#include <vector>

namespace jevons::reference {

/// `meter` sees the input read and the output written, 2 bytes each; no model FLOPs.
template <class T>
[[nodiscard]] Matrix<T> rms_norm(const Matrix<T>& x, const std::vector<T>& gain, double epsilon,
                                 Meter* meter = nullptr);
/// x holds gate and up side by side (rows x 2 m); the result is rows x m.
template <class T>
[[nodiscard]] Matrix<T> swiglu(const Matrix<T>& gate_up, Meter* meter = nullptr);
/// In place over each row.
template <class T>
void softmax_rows(Matrix<T>& scores);

struct Rope {
  double base = 10000.0;
  // YaRN; factor 1 is plain RoPE.
  double factor = 1.0, original_context = 4096, beta_fast = 32, beta_slow = 1;
  double mscale = 1.0, mscale_all_dim = 0.0;
};
/// Angle per position of each pair of a rotary part `dim` wide.
[[nodiscard]] std::vector<double> rope_frequencies(const Rope& rope, long dim);
/// 0.1 m ln(factor) + 1, by which YaRN scales queries and keys.
[[nodiscard]] double yarn_mscale(double factor, double mscale);
/// Factor on the softmax scale: mscale of mscale_all_dim, squared (DeepSeek-V3's inference code).
[[nodiscard]] double yarn_softmax_scale(const Rope& rope);
/// Turns columns first … first + dim - 1 of every row; row r stands at position start + r. `meter`
/// sees those columns read and written.
template <class T>
void apply_rope(Matrix<T>& x, long first, long dim, long start, const Rope& rope,
                Meter* meter = nullptr);
/// sum += term (residual stream, shared experts): two operands read, one written.
template <class T>
void add_to(Matrix<T>& sum, const Matrix<T>& term, Meter* meter = nullptr);
/// Appends rows to a cache; `meter` sees them read and written.
template <class T>
void append_rows(Matrix<T>& cache, const Matrix<T>& rows, Meter* meter = nullptr);

}  // namespace jevons::reference
