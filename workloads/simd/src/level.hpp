// One instruction-set level: the functions that level.cpp defines in jevons::simd::<level>.
#pragma once

#include "jevons/simd/simd.hpp"

#define JEVONS_SIMD_DECLARE(LEVEL)                                                    \
  namespace jevons::simd::LEVEL {                                                     \
  void gemm(Operand<float> a, Operand<float> b, float* c, long m, long n, long k);    \
  void gemm(Operand<double> a, Operand<double> b, double* c, long m, long n, long k); \
  double multiply_add_rounds(long rounds, float* sink);                               \
  float sum(const float* values, long count);                                         \
  }
