#include "jevons/reference/elementwise.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace jevons::reference {
namespace {

/// Dimension whose pair turns `turns` times over the original context.
double correction_dim(const Rope& rope, double turns, long dim) {
  const double wavelengths = rope.original_context / (turns * 2 * std::numbers::pi);
  return static_cast<double>(dim) * std::log(wavelengths) / (2 * std::log(rope.base));
}

}  // namespace

template <class T>
Matrix<T> rms_norm(const Matrix<T>& x, const std::vector<T>& gain, double epsilon, Meter* meter) {
  Matrix<T> y(x.rows(), x.cols());
  Operand read(meter, {TensorClass::activations, 2}, x.size());
  Operand written(meter, {TensorClass::activations, 2}, y.size());
  for (long r = 0; r < x.rows(); ++r) {
    double squares = 0;
    for (long c = 0; c < x.cols(); ++c) {
      squares += static_cast<double>(x(r, c)) * static_cast<double>(x(r, c));
      read.touch(x.index(r, c));
    }
    const double scale = 1 / std::sqrt(squares / static_cast<double>(x.cols()) + epsilon);
    for (long c = 0; c < x.cols(); ++c) {
      y(r, c) =
          static_cast<T>(static_cast<double>(x(r, c)) * scale) * gain[static_cast<std::size_t>(c)];
      written.touch(y.index(r, c));
      if (meter != nullptr) meter->other_flops += 4;
    }
  }
  return y;
}

template <class T>
Matrix<T> swiglu(const Matrix<T>& gate_up, Meter* meter) {
  const long m = gate_up.cols() / 2;
  Matrix<T> y(gate_up.rows(), m);
  Operand read(meter, {TensorClass::activations, 2}, gate_up.size());
  Operand written(meter, {TensorClass::activations, 2}, y.size());
  for (long r = 0; r < y.rows(); ++r) {
    for (long c = 0; c < m; ++c) {
      const T gate = gate_up(r, c);
      y(r, c) = gate / (T{1} + std::exp(-gate)) * gate_up(r, c + m);
      read.touch(gate_up.index(r, c));
      read.touch(gate_up.index(r, c + m));
      written.touch(y.index(r, c));
      if (meter != nullptr) meter->other_flops += 5;
    }
  }
  return y;
}

template <class T>
void softmax_rows(Matrix<T>& scores) {
  for (long r = 0; r < scores.rows(); ++r) {
    T* row = scores.row(r);
    const T top = *std::max_element(row, row + scores.cols());
    T sum{};
    for (long c = 0; c < scores.cols(); ++c) sum += row[c] = std::exp(row[c] - top);
    for (long c = 0; c < scores.cols(); ++c) row[c] /= sum;
  }
}

std::vector<double> rope_frequencies(const Rope& rope, long dim) {
  std::vector<double> out;
  double low = 0, high = 0;
  if (rope.factor > 1) {
    low = std::max(0.0, std::floor(correction_dim(rope, rope.beta_fast, dim)));
    high = std::min(static_cast<double>(dim - 1),
                    std::ceil(correction_dim(rope, rope.beta_slow, dim)));
    if (high <= low) high = low + 0.001;
  }
  for (long i = 0; i < dim / 2; ++i) {
    const double index = static_cast<double>(i);
    const double plain = std::pow(rope.base, -2 * index / static_cast<double>(dim));
    double interpolated = 0;  // share of the stretched frequency
    if (rope.factor > 1) interpolated = std::clamp((index - low) / (high - low), 0.0, 1.0);
    out.push_back(plain * (1 - interpolated) + plain / rope.factor * interpolated);
  }
  return out;
}

double yarn_mscale(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

double yarn_softmax_scale(const Rope& rope) {
  if (rope.mscale_all_dim <= 0) return 1.0;
  const double m = yarn_mscale(rope.factor, rope.mscale_all_dim);
  return m * m;
}

template <class T>
void apply_rope(Matrix<T>& x, long first, long dim, long start, const Rope& rope, Meter* meter) {
  Operand read(meter, {TensorClass::activations, 2}, x.size());
  Operand written(meter, {TensorClass::activations, 2}, x.size());
  const std::vector<double> frequencies = rope_frequencies(rope, dim);
  double scale = yarn_mscale(rope.factor, rope.mscale);
  if (rope.mscale_all_dim > 0) scale /= yarn_mscale(rope.factor, rope.mscale_all_dim);
  for (long r = 0; r < x.rows(); ++r) {
    const double position = static_cast<double>(start + r);
    for (long i = 0; i < dim / 2; ++i) {
      const double angle = position * frequencies[static_cast<std::size_t>(i)];
      const double c = std::cos(angle) * scale, s = std::sin(angle) * scale;
      T& a = x(r, first + 2 * i);
      T& b = x(r, first + 2 * i + 1);
      const double re = static_cast<double>(a), im = static_cast<double>(b);
      a = static_cast<T>(re * c - im * s);
      b = static_cast<T>(re * s + im * c);
      if (meter == nullptr) continue;
      meter->other_flops += 6;
      read.touch_range(x.index(r, first + 2 * i), 2);
      written.touch_range(x.index(r, first + 2 * i), 2);
    }
  }
}

template <class T>
void add_to(Matrix<T>& sum, const Matrix<T>& term, Meter* meter) {
  for (std::size_t i = 0; i < sum.size(); ++i) sum.data()[i] += term.data()[i];
  if (meter == nullptr) return;
  Operand left(meter, {}, sum.size()), right(meter, {}, sum.size()), written(meter, {}, sum.size());
  left.touch_range(0, sum.size());
  right.touch_range(0, sum.size());
  written.touch_range(0, sum.size());
  meter->other_flops += static_cast<double>(sum.size());
}

template <class T>
void append_rows(Matrix<T>& cache, const Matrix<T>& rows, Meter* meter) {
  cache.append(rows);
  Operand read(meter, {}, rows.size()), written(meter, {}, rows.size());
  read.touch_range(0, rows.size());
  written.touch_range(0, rows.size());
}

template Matrix<float> rms_norm(const Matrix<float>&, const std::vector<float>&, double, Meter*);
template Matrix<double> rms_norm(const Matrix<double>&, const std::vector<double>&, double, Meter*);
template Matrix<float> swiglu(const Matrix<float>&, Meter*);
template Matrix<double> swiglu(const Matrix<double>&, Meter*);
template void softmax_rows(Matrix<float>&);
template void softmax_rows(Matrix<double>&);
template void apply_rope(Matrix<float>&, long, long, long, const Rope&, Meter*);
template void apply_rope(Matrix<double>&, long, long, long, const Rope&, Meter*);
template void add_to(Matrix<float>&, const Matrix<float>&, Meter*);
template void add_to(Matrix<double>&, const Matrix<double>&, Meter*);
template void append_rows(Matrix<float>&, const Matrix<float>&, Meter*);
template void append_rows(Matrix<double>&, const Matrix<double>&, Meter*);

}  // namespace jevons::reference
