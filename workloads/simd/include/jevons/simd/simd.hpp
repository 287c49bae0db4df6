// Vector code at the best instruction-set level of the processor it runs on: the matrix product of
// the reference kernels, and two loops that measure what the processor can do at most.
#pragma once

#include <string_view>

namespace jevons::simd {

/// The level in use: "baseline", "avx2" or "avx512".
[[nodiscard]] std::string_view level();

/// A row-major operand; `transposed` means that it is stored as the transpose of what enters.
template <class T>
struct Operand {
  const T* data = nullptr;
  bool transposed = false;
};

/// c (m x n, row-major) = a (m x k) · b (k x n), by Eigen, on one thread.
void gemm(Operand<float> a, Operand<float> b, float* c, long m, long n, long k);
void gemm(Operand<double> a, Operand<double> b, double* c, long m, long n, long k);

/// Does `rounds` rounds of independent fused multiply-adds in registers; returns the floating-point
/// operations done (2 a multiply-add). `sink` receives a value that depends on all of them.
[[nodiscard]] double multiply_add_rounds(long rounds, float* sink);
/// Sum of `count` values: reads them as fast as the memory they lie in gives them.
[[nodiscard]] float sum(const float* values, long count);

}  // namespace jevons::simd
