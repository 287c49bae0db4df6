#include "jevons/reference/gemm.hpp"

#include "random.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace jevons::reference;
using jevons::Format;
using jevons::NumberFormat;
namespace wl = jevons::workloads;

namespace {

wl::Operator operation(const wl::Gemm& shape, Format weights, Format activations) {
  wl::Operator op;
  op.shape = shape;
  op.weight_format = NumberFormat{weights, 0.0};
  op.activation_format = NumberFormat{activations, 0.0};
  return op;
}

/// Mean over outputs of |error| relative to the root mean square of the exact result.
double relative_error(const Matrix<float>& got, const Matrix<float>& exact) {
  double error = 0, square = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    error += std::abs(static_cast<double>(got.data()[i] - exact.data()[i]));
    square += std::pow(static_cast<double>(exact.data()[i]), 2);
  }
  const double n = static_cast<double>(got.size());
  return error / n / std::sqrt(square / n);
}

double largest_error(const Matrix<float>& got, const Matrix<float>& exact) {
  double square = 0;
  for (const float v : exact.data()) square += std::pow(static_cast<double>(v), 2);
  return largest_difference(got, exact) / std::sqrt(square / static_cast<double>(exact.size()));
}

}  // namespace

TEST_CASE("gemm: counted loops and Eigen give the same product, transposed forms too") {
  const auto a = random_matrix(5, 7, 1), b = random_matrix(7, 3, 2);
  Meter meter;
  const auto counted = gemm(a, b, &meter);
  CHECK(largest_difference(counted, gemm(a, b)) < 1e-14);
  Matrix<double> bt(3, 7), at(7, 5);
  for (long i = 0; i < 7; ++i) {
    for (long j = 0; j < 3; ++j) bt(j, i) = b(i, j);
    for (long j = 0; j < 5; ++j) at(i, j) = a(j, i);
  }
  CHECK(largest_difference(gemm_bt(a, bt), counted) < 1e-14);
  CHECK(largest_difference(gemm_at(at, b), counted) < 1e-14);
  CHECK(largest_difference(gemm_bt(a, bt, &meter), counted) < 1e-14);
  CHECK(largest_difference(gemm_at(at, b, &meter), counted) < 1e-14);
}

TEST_CASE("gemm: counted work equals the operator's claim over ragged shapes") {
  for (const long m : {1L, 2L, 7L, 33L}) {
    for (const long n : {1L, 5L, 16L}) {
      for (const long k : {1L, 3L, 40L}) {
        const auto a = random_matrix(m, k, 1), b = random_matrix(k, n, 2);
        Meter meter;
        (void)gemm(a, b, &meter,
                   {{TensorClass::activations, 1},
                    {TensorClass::weights, 0.5625},
                    {TensorClass::activations, 2}});
        wl::Gemm shape;
        shape.m = static_cast<double>(m);
        shape.n = static_cast<double>(n);
        shape.k = static_cast<double>(k);
        const wl::Work claim = work_of(operation(shape, Format::nvfp4, Format::fp8));
        CHECK(meter.flops() == claim.flops);
        CHECK(meter.bytes == claim.bytes);
      }
    }
  }
}

TEST_CASE("gemm: a weight gradient adds into fp32 and reads both operands as activations") {
  const auto x = random_matrix(6, 4, 1), dy = random_matrix(6, 9, 2);
  Meter meter;
  (void)gemm_at(
      x, dy, &meter,
      {{TensorClass::activations, 2}, {TensorClass::activations, 2}, {TensorClass::gradients, 8}});
  wl::Gemm shape{4, 9, 6, 1, 8, true};
  const wl::Work claim = work_of(operation(shape, Format::bf16, Format::bf16));
  CHECK(meter.flops() == claim.flops);
  CHECK(meter.bytes == claim.bytes);
}

TEST_CASE("gemm: FP8 with tiles and fp32 sums equals the product of the dequantised operands") {
  const auto a = quantise_tiles(random_matrix<float>(9, 300, 4), 1, 128);
  const auto b = quantise_tiles(random_matrix<float>(300, 140, 5), 128, 128);
  const auto exact = gemm(a.dequantised(), b.dequantised());
  CHECK(relative_error(gemm_fp8(a, b, {0, 128}), exact) < 1e-6);
  CHECK(relative_error(gemm_fp8(a, b, {0, 0}), exact) < 1e-6);
}

TEST_CASE("gemm: at K = 4096 a 14-bit accumulator errs by a percent or two, promotion ends it") {
  // DeepSeek-V3 report, section 3.3.2: for random matrices "a maximum relative error of nearly 2 %"
  // at K = 4096. Relative to the root mean square here, since outputs near zero have no bound.
  const auto a = quantise_tiles(random_matrix<float>(32, 4096, 6), 1, 128);
  const auto b = quantise_tiles(random_matrix<float>(4096, 32, 7), 128, 128);
  const auto exact = gemm_fp8(a, b, {0, 0});
  const double limited = largest_error(gemm_fp8(a, b, {14, 0}), exact);
  const double promoted = largest_error(gemm_fp8(a, b, {14, 128}), exact);
  MESSAGE("largest error, 14 bits: ", limited, "; promoted every 128: ", promoted);
  CHECK(limited > 0.007);
  CHECK(limited < 0.025);
  CHECK(promoted < limited / 20);
}

TEST_CASE("gemm: operands of one sign lose with K under a cut accumulator, not when promoted") {
  const auto error = [](long depth, Fp8Accumulation how) {
    auto left = random_matrix<float>(8, depth, 6), right = random_matrix<float>(depth, 8, 7);
    for (float& v : left.data()) v = std::abs(v);
    for (float& v : right.data()) v = std::abs(v);
    const auto a = quantise_tiles(left, 1, 128), b = quantise_tiles(right, 128, 128);
    return relative_error(gemm_fp8(a, b, how), gemm_fp8(a, b, {0, 0}));
  };
  const double short_sum = error(512, {14, 0}), long_sum = error(8192, {14, 0});
  CHECK(long_sum > 5 * short_sum);
  CHECK(error(8192, {14, 128}) < 3 * error(512, {14, 128}));
}
