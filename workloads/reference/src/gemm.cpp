#include "jevons/reference/gemm.hpp"

#include "jevons/core/error.hpp"
#include "jevons/simd/simd.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace jevons::reference {
namespace {

void require(bool ok, const char* what) {
  if (!ok) throw Error(ErrorKind::internal, "reference kernels", what);
}

/// Counted loops over c(i, j) += a(ia, ka) · b(kb, jb), whatever is transposed.
template <class T, class IndexA, class IndexB>
void counted(const Matrix<T>& a, const Matrix<T>& b, Matrix<T>& c, long depth, IndexA at_a,
             IndexB at_b, Meter* meter, const GemmStorage& storage) {
  Operand read_a(meter, storage.a, a.size()), read_b(meter, storage.b, b.size());
  Operand written(meter, storage.c, c.size());
  for (long i = 0; i < c.rows(); ++i) {
    for (long j = 0; j < c.cols(); ++j) {
      T sum{};
      for (long k = 0; k < depth; ++k) {
        const std::size_t ia = at_a(i, k), ib = at_b(k, j);
        sum += a.data()[ia] * b.data()[ib];
        ++meter->multiply_adds;
        read_a.touch(ia);
        read_b.touch(ib);
      }
      c(i, j) = sum;
      written.touch(c.index(i, j));
    }
  }
}

/// Cuts a number to `bits` of mantissa (the leading one included) under a given exponent.
double cut(double value, int exponent, int bits) {
  const double unit = std::ldexp(1.0, exponent - bits + 1);
  return std::trunc(value / unit) * unit;
}

/// A tensor core's running sum: products of a step aligned among themselves, then added.
class LimitedSum {
 public:
  explicit LimitedSum(int bits) : bits_(bits) {}
  void add(const double* products, long count) {
    double top = 0;
    for (long i = 0; i < count; ++i) top = std::max(top, std::abs(products[i]));
    if (!(top > 0)) return;
    const int exponent = std::ilogb(top);
    double step = 0;
    for (long i = 0; i < count; ++i) step += cut(products[i], exponent, bits_);
    const double sum = sum_ + step;
    sum_ = sum == 0 ? 0 : cut(sum, std::ilogb(sum), bits_);
  }
  double take() {
    const double out = sum_;
    sum_ = 0;
    return out;
  }

 private:
  int bits_;
  double sum_ = 0;
};

}  // namespace

template <class T>
Matrix<T> gemm(const Matrix<T>& a, const Matrix<T>& b, Meter* meter, GemmStorage storage) {
  require(a.cols() == b.rows(), "gemm: inner sizes differ");
  Matrix<T> c(a.rows(), b.cols());
  if (meter == nullptr) {
    simd::gemm({a.data().data()}, {b.data().data()}, c.data().data(), c.rows(), c.cols(), a.cols());
  } else {
    counted(
        a, b, c, a.cols(), [&](long i, long k) { return a.index(i, k); },
        [&](long k, long j) { return b.index(k, j); }, meter, storage);
  }
  return c;
}

template <class T>
Matrix<T> gemm_bt(const Matrix<T>& a, const Matrix<T>& b, Meter* meter, GemmStorage storage) {
  require(a.cols() == b.cols(), "gemm_bt: inner sizes differ");
  Matrix<T> c(a.rows(), b.rows());
  if (meter == nullptr) {
    simd::gemm({a.data().data()}, {b.data().data(), true}, c.data().data(), c.rows(), c.cols(),
               a.cols());
  } else {
    counted(
        a, b, c, a.cols(), [&](long i, long k) { return a.index(i, k); },
        [&](long k, long j) { return b.index(j, k); }, meter, storage);
  }
  return c;
}

template <class T>
Matrix<T> gemm_at(const Matrix<T>& a, const Matrix<T>& b, Meter* meter, GemmStorage storage) {
  require(a.rows() == b.rows(), "gemm_at: inner sizes differ");
  Matrix<T> c(a.cols(), b.cols());
  if (meter == nullptr) {
    simd::gemm({a.data().data(), true}, {b.data().data()}, c.data().data(), c.rows(), c.cols(),
               a.rows());
  } else {
    counted(
        a, b, c, a.rows(), [&](long i, long k) { return a.index(k, i); },
        [&](long k, long j) { return b.index(k, j); }, meter, storage);
  }
  return c;
}

Matrix<float> gemm_fp8(const TiledTensor& a, const TiledTensor& b, Fp8Accumulation how) {
  require(a.cols == b.rows && a.tile_cols == b.tile_rows, "gemm_fp8: inner sizes differ");
  constexpr long kStep = 32;
  Matrix<float> c(a.rows, b.cols);
  const long tile = a.tile_cols;
  for (long i = 0; i < a.rows; ++i) {
    for (long j = 0; j < b.cols; ++j) {
      LimitedSum sum(how.accumulator_bits);
      double wide = 0;  // the sum of a span when nothing is cut
      float total = 0;
      std::array<double, kStep> products{};
      long since = 0;
      for (long k = 0; k < a.cols; k += kStep) {
        // Without promotion inside, the scales multiply the products: one span, many tiles.
        const long count = std::min(kStep, a.cols - k);
        const float scale =
            a.scales(i / a.tile_rows, k / tile) * b.scales(k / tile, j / b.tile_cols);
        const bool late = how.promote == 0;
        for (long q = 0; q < count; ++q) {
          const double product = static_cast<double>(a.values(i, k + q) * b.values(k + q, j));
          products[static_cast<std::size_t>(q)] =
              late ? product * static_cast<double>(scale) : product;
        }
        if (how.accumulator_bits > 0) {
          sum.add(products.data(), count);
        } else {
          for (long q = 0; q < count; ++q) wide += products[static_cast<std::size_t>(q)];
        }
        since += count;
        const bool end = k + kStep >= a.cols;
        if (end || (how.promote > 0 && since >= how.promote)) {
          const double span = how.accumulator_bits > 0 ? sum.take() : wide;
          total += static_cast<float>(span) * (late ? 1.0F : scale);
          wide = 0;
          since = 0;
        }
      }
      c(i, j) = total;
    }
  }
  return c;
}

template Matrix<float> gemm(const Matrix<float>&, const Matrix<float>&, Meter*, GemmStorage);
template Matrix<double> gemm(const Matrix<double>&, const Matrix<double>&, Meter*, GemmStorage);
template Matrix<float> gemm_bt(const Matrix<float>&, const Matrix<float>&, Meter*, GemmStorage);
template Matrix<double> gemm_bt(const Matrix<double>&, const Matrix<double>&, Meter*, GemmStorage);
template Matrix<float> gemm_at(const Matrix<float>&, const Matrix<float>&, Meter*, GemmStorage);
template Matrix<double> gemm_at(const Matrix<double>&, const Matrix<double>&, Meter*, GemmStorage);

}  // namespace jevons::reference
