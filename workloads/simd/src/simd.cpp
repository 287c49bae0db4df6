#include "jevons/simd/simd.hpp"

#include "level.hpp"

JEVONS_SIMD_DECLARE(baseline)
#if defined(JEVONS_SIMD_AVX2)
JEVONS_SIMD_DECLARE(avx2)
#endif
#if defined(JEVONS_SIMD_AVX512)
JEVONS_SIMD_DECLARE(avx512)
#endif

namespace jevons::simd {
namespace {

struct Level {
  std::string_view name;
  void (*gemm_float)(Operand<float>, Operand<float>, float*, long, long, long);
  void (*gemm_double)(Operand<double>, Operand<double>, double*, long, long, long);
  double (*rounds)(long, float*);
  float (*sum)(const float*, long);
};

Level choose() {
#if defined(JEVONS_SIMD_AVX512)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    return {"avx512", avx512::gemm, avx512::gemm, avx512::multiply_add_rounds, avx512::sum};
  }
#endif
#if defined(JEVONS_SIMD_AVX2)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return {"avx2", avx2::gemm, avx2::gemm, avx2::multiply_add_rounds, avx2::sum};
  }
#endif
  return {"baseline", baseline::gemm, baseline::gemm, baseline::multiply_add_rounds, baseline::sum};
}

const Level& best() {
  static const Level chosen = choose();
  return chosen;
}

}  // namespace

std::string_view level() {
  return best().name;
}
void gemm(Operand<float> a, Operand<float> b, float* c, long m, long n, long k) {
  best().gemm_float(a, b, c, m, n, k);
}
void gemm(Operand<double> a, Operand<double> b, double* c, long m, long n, long k) {
  best().gemm_double(a, b, c, m, n, k);
}
double multiply_add_rounds(long rounds, float* sink) {
  return best().rounds(rounds, sink);
}
float sum(const float* values, long count) {
  return best().sum(values, count);
}

}  // namespace jevons::simd
