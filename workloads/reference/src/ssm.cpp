#include "jevons/reference/ssm.hpp"

#include <algorithm>
#include <cmath>

namespace jevons::reference {
namespace {

std::size_t at(long i) {
  return static_cast<std::size_t>(i);
}

/// Rows first … first + count - 1 of one head's slice of the input.
struct Chunk {
  long first, count, head, group;
};

/// Δ A summed up to and including each token of the chunk.
template <class T>
std::vector<T> decay_sums(const SsmInput<T>& in, const Chunk& k) {
  std::vector<T> out;
  T sum{};
  for (long t = 0; t < k.count; ++t) {
    sum += in.step(k.first + t, k.head) * in.a[at(k.head)];
    out.push_back(sum);
  }
  return out;
}

/// C Bᵀ of a chunk, lower triangle: once for all heads of a group.
template <class T>
Matrix<T> products(const SsmInput<T>& in, const SsmShape& s, const Chunk& k, Meter* meter) {
  Matrix<T> out(k.count, k.count);
  for (long i = 0; i < k.count; ++i) {
    for (long j = 0; j <= i; ++j) {
      for (long n = k.group * s.state; n < (k.group + 1) * s.state; ++n) {
        out(i, j) += in.c(k.first + i, n) * in.b(k.first + j, n);
      }
      if (meter != nullptr) meter->multiply_adds += static_cast<double>(s.state);
    }
  }
  return out;
}

/// Y += (L ∘ C Bᵀ) Δ X of one chunk and head.
template <class T>
void inside_chunk(const SsmInput<T>& in, const SsmShape& s, const Chunk& k,
                  const std::vector<T>& sums, const Matrix<T>& cb, Matrix<T>& y, Meter* meter) {
  for (long i = 0; i < k.count; ++i) {
    for (long j = 0; j <= i; ++j) {
      const T weight =
          cb(i, j) * std::exp(sums[at(i)] - sums[at(j)]) * in.step(k.first + j, k.head);
      for (long p = k.head * s.head_dim; p < (k.head + 1) * s.head_dim; ++p) {
        y(k.first + i, p) += weight * in.x(k.first + j, p);
      }
      if (meter != nullptr) {
        meter->multiply_adds += static_cast<double>(s.head_dim);
        meter->other_flops += 3;
      }
    }
  }
}

/// Reads the carried state into Y, then lets the chunk's tokens into it.
template <class T>
void across_chunks(const SsmInput<T>& in, const SsmShape& s, const Chunk& k,
                   const std::vector<T>& sums, SsmState<T>& state, Matrix<T>& y, Meter* meter) {
  for (long t = 0; t < k.count; ++t) {
    const T decay = std::exp(sums[at(t)]);
    for (long p = 0; p < s.head_dim; ++p) {
      T sum{};
      for (long n = 0; n < s.state; ++n) {
        sum += state(k.head, p * s.state + n) * in.c(k.first + t, k.group * s.state + n);
      }
      y(k.first + t, k.head * s.head_dim + p) += decay * sum;
      if (meter != nullptr) meter->multiply_adds += static_cast<double>(s.state);
    }
  }
  const T whole = std::exp(sums.back());
  for (long e = 0; e < s.head_dim * s.state; ++e) state(k.head, e) *= whole;
  for (long t = 0; t < k.count; ++t) {
    const T weight = std::exp(sums.back() - sums[at(t)]) * in.step(k.first + t, k.head);
    for (long p = 0; p < s.head_dim; ++p) {
      const T value = weight * in.x(k.first + t, k.head * s.head_dim + p);
      for (long n = 0; n < s.state; ++n) {
        state(k.head, p * s.state + n) += value * in.b(k.first + t, k.group * s.state + n);
      }
      if (meter != nullptr) meter->multiply_adds += static_cast<double>(s.state);
    }
  }
}

template <class T>
void add_skip(const SsmInput<T>& in, const SsmShape& s, Matrix<T>& y) {
  for (long t = 0; t < y.rows(); ++t) {
    for (long c = 0; c < y.cols(); ++c) y(t, c) += in.d[at(c / s.head_dim)] * in.x(t, c);
  }
}

}  // namespace

template <class T>
Matrix<T> ssm_recurrent(const SsmInput<T>& in, const SsmShape& s, SsmState<T>& state,
                        Meter* meter) {
  Matrix<T> y(in.x.rows(), in.x.cols());
  if (state.size() == 0) state = SsmState<T>(s.heads, s.head_dim * s.state);
  for (long t = 0; t < y.rows(); ++t) {
    Operand touched(meter, {TensorClass::kv_cache, 2 * 2}, state.size());  // read and written
    for (long head = 0; head < s.heads; ++head) {
      const long group = head / (s.heads / s.groups);
      const T decay = std::exp(in.step(t, head) * in.a[at(head)]);
      for (long p = 0; p < s.head_dim; ++p) {
        const T value = in.step(t, head) * in.x(t, head * s.head_dim + p);
        T sum{};
        T* h = state.row(head) + p * s.state;
        const T* b = in.b.row(t) + group * s.state;
        const T* c = in.c.row(t) + group * s.state;
        for (long n = 0; n < s.state; ++n) {
          h[n] = decay * h[n] + value * b[n];
          sum += h[n] * c[n];
        }
        touched.touch_range(state.index(head, p * s.state), static_cast<std::size_t>(s.state));
        if (meter != nullptr) {
          meter->multiply_adds += 2 * static_cast<double>(s.state);  // into the state, out of it
          meter->other_flops += static_cast<double>(s.state);        // the decay
        }
        y(t, head * s.head_dim + p) = sum;
      }
    }
  }
  add_skip(in, s, y);
  return y;
}

template <class T>
Matrix<T> ssm_chunked(const SsmInput<T>& in, const SsmShape& s, long chunk, SsmState<T>& state,
                      Meter* meter) {
  Matrix<T> y(in.x.rows(), in.x.cols());
  if (state.size() == 0) state = SsmState<T>(s.heads, s.head_dim * s.state);
  for (long first = 0; first < y.rows(); first += chunk) {
    const long count = std::min(chunk, y.rows() - first);
    const long per_group = s.heads / s.groups;
    Matrix<T> cb;
    for (long head = 0; head < s.heads; ++head) {
      const Chunk k{first, count, head, head / per_group};
      if (head % per_group == 0) cb = products(in, s, k, meter);
      const std::vector<T> sums = decay_sums(in, k);
      inside_chunk(in, s, k, sums, cb, y, meter);
      across_chunks(in, s, k, sums, state, y, meter);
    }
  }
  add_skip(in, s, y);
  return y;
}

template <class T>
Matrix<T> causal_convolution(const Matrix<T>& x, const Matrix<T>& w, const std::vector<T>& bias,
                             Matrix<T>& tail, Meter* meter) {
  const long taps = w.cols(), channels = x.cols();
  if (tail.size() == 0) tail = Matrix<T>(taps - 1, channels);
  Matrix<T> seen = tail;
  seen.append(x);
  Matrix<T> y(x.rows(), channels);
  for (long t = 0; t < x.rows(); ++t) {
    for (long c = 0; c < channels; ++c) {
      y(t, c) = bias[at(c)];
      for (long k = 0; k < taps; ++k) y(t, c) += w(c, k) * seen(t + k, c);
      if (meter != nullptr) meter->multiply_adds += static_cast<double>(taps);
    }
  }
  tail = slice_rows(seen, x.rows(), taps - 1);
  return y;
}

#define JEVONS_INSTANTIATE(T)                                                                      \
  template Matrix<T> ssm_recurrent(const SsmInput<T>&, const SsmShape&, SsmState<T>&, Meter*);     \
  template Matrix<T> causal_convolution(const Matrix<T>&, const Matrix<T>&, const std::vector<T>&, \
                                        Matrix<T>&, Meter*);                                       \
  template Matrix<T> ssm_chunked(const SsmInput<T>&, const SsmShape&, long, SsmState<T>&, Meter*);
JEVONS_INSTANTIATE(float)
JEVONS_INSTANTIATE(double)
#undef JEVONS_INSTANTIATE

}  // namespace jevons::reference
