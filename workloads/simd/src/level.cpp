// Compiled once for each instruction-set level, with that level's flags.
//
// `Eigen` is renamed for each level: its templates are inline functions, of which the linker keeps
// one copy a name, so that without the renaming a baseline object could be given the AVX-512 copy
// of a function (and fail on an older processor) or this one the slow copy. For the same reason
// nothing else with inline functions is used here.
#define JEVONS_JOIN2(a, b) a##b
#define JEVONS_JOIN(a, b) JEVONS_JOIN2(a, b)
#define Eigen JEVONS_JOIN(Eigen_, JEVONS_SIMD_LEVEL)
#include "level.hpp"

#include <Eigen/Core>

JEVONS_SIMD_DECLARE(JEVONS_SIMD_LEVEL)

namespace jevons::simd::JEVONS_SIMD_LEVEL {
namespace {

#if defined(__AVX512F__)
constexpr int kWidth = 64;
#elif defined(__AVX__)
constexpr int kWidth = 32;
#else
constexpr int kWidth = 16;
#endif
using Vector = float __attribute__((vector_size(kWidth)));
constexpr int kLanes = kWidth / 4;
/// Independent chains: latency of a multiply-add (4 cycles, 8 where it is two instructions) times
/// two of them a cycle, within 16 registers.
constexpr int kChains = 12;

template <class T>
using Dense = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using View = Eigen::Map<const Dense<T>>;

template <class T>
void product(Operand<T> a, Operand<T> b, T* c, long m, long n, long k) {
  Eigen::Map<Dense<T>> out(c, m, n);
  if (a.transposed && b.transposed) {
    out.noalias() = View<T>(a.data, k, m).transpose() * View<T>(b.data, n, k).transpose();
  } else if (a.transposed) {
    out.noalias() = View<T>(a.data, k, m).transpose() * View<T>(b.data, k, n);
  } else if (b.transposed) {
    out.noalias() = View<T>(a.data, m, k) * View<T>(b.data, n, k).transpose();
  } else {
    out.noalias() = View<T>(a.data, m, k) * View<T>(b.data, k, n);
  }
}

}  // namespace

void gemm(Operand<float> a, Operand<float> b, float* c, long m, long n, long k) {
  product(a, b, c, m, n, k);
}
void gemm(Operand<double> a, Operand<double> b, double* c, long m, long n, long k) {
  product(a, b, c, m, n, k);
}

double multiply_add_rounds(long rounds, float* sink) {
  const float start = *sink;
  Vector chain[kChains];
  for (int i = 0; i < kChains; ++i) chain[i] = Vector{} + (start + static_cast<float>(i));
  const Vector factor = Vector{} + 0.999F, term = Vector{} + (start * 0.25F);
  for (long round = 0; round < rounds; ++round) {
    // Written out by the compiler: a loop over an array would go through memory at -O2.
#define JEVONS_STEP(i) chain[i] = chain[i] * factor + term
    JEVONS_STEP(0), JEVONS_STEP(1), JEVONS_STEP(2), JEVONS_STEP(3), JEVONS_STEP(4), JEVONS_STEP(5),
        JEVONS_STEP(6), JEVONS_STEP(7), JEVONS_STEP(8), JEVONS_STEP(9), JEVONS_STEP(10),
        JEVONS_STEP(11);
#undef JEVONS_STEP
  }
  Vector all{};
  for (const Vector& value : chain) all += value;
  float total = 0;
  for (int lane = 0; lane < kLanes; ++lane) total += all[lane];
  *sink = total;
  return 2.0 * kChains * kLanes * static_cast<double>(rounds);
}

float sum(const float* values, long count) {
  Vector chain[8] = {};
  long i = 0;
  for (; i + 8 * kLanes <= count; i += 8 * kLanes) {
#define JEVONS_STEP(j)                                          \
  {                                                             \
    Vector next;                                                \
    __builtin_memcpy(&next, values + i + (j) * kLanes, kWidth); \
    chain[j] += next;                                           \
  }
    JEVONS_STEP(0)
    JEVONS_STEP(1)
    JEVONS_STEP(2)
    JEVONS_STEP(3)
    JEVONS_STEP(4)
    JEVONS_STEP(5)
    JEVONS_STEP(6)
    JEVONS_STEP(7)
#undef JEVONS_STEP
  }
  float total = 0;
  for (; i < count; ++i) total += values[i];
  for (const Vector& part : chain) {
    for (int lane = 0; lane < kLanes; ++lane) total += part[lane];
  }
  return total;
}

}  // namespace jevons::simd::JEVONS_SIMD_LEVEL
