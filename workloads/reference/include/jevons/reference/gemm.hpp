// Matrix products: the plain one (Eigen, or counted loops), and DeepSeek-V3's FP8 one.
//
// FP8 with fine-grained scales (DeepSeek-V3 report 2412.19437, section 3.3.2): activations in
// 1 x 128 tiles, weights in 128 x 128 tiles, both E4M3 with fp32 scales. Hopper's tensor core
// aligns the 32 products of a step by their largest exponent, keeps the highest 13 fraction bits
// (14 with the leading one), cuts the rest, and adds to a register that keeps as many (Insights
// into DeepSeek-V3, 2505.09343, section 3.1.1). Every `promote` products the sum is scaled and
// added in fp32 (128 in V3); 0 never promotes before the end. Valid: the arithmetic as published.
// Known error: what the adder does between alignment and register is not public; here the step's
// sum is exact before it is added.
#pragma once

#include "jevons/reference/formats.hpp"
#include "jevons/reference/matrix.hpp"
#include "jevons/reference/meter.hpp"

namespace jevons::reference {

struct GemmStorage {
  Storage a{TensorClass::activations, 2};
  Storage b{TensorClass::weights, 2};
  Storage c{TensorClass::activations, 2};
};

/// a (m x k) · b (k x n).
template <class T>
[[nodiscard]] Matrix<T> gemm(const Matrix<T>& a, const Matrix<T>& b, Meter* meter = nullptr,
                             GemmStorage storage = {});
/// a (m x k) · bᵀ with b (n x k): input gradients.
template <class T>
[[nodiscard]] Matrix<T> gemm_bt(const Matrix<T>& a, const Matrix<T>& b, Meter* meter = nullptr,
                                GemmStorage storage = {});
/// aᵀ · b with a (m x k), b (m x n): weight gradients.
template <class T>
[[nodiscard]] Matrix<T> gemm_at(const Matrix<T>& a, const Matrix<T>& b, Meter* meter = nullptr,
                                GemmStorage storage = {});

struct Fp8Accumulation {
  int accumulator_bits = 0;  ///< mantissa kept while accumulating; 0 = fp32 throughout
  long promote = 128;        ///< products between promotions to fp32; 0 = never
};

/// a (m x k, 1 x 128 tiles) · b (k x n, 128 x 128 tiles).
[[nodiscard]] Matrix<float> gemm_fp8(const TiledTensor& a, const TiledTensor& b,
                                     Fp8Accumulation accumulation);

}  // namespace jevons::reference
