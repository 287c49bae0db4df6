#include "jevons/reference/ssm.hpp"

#include "random.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace jevons::reference;

namespace {

SsmInput<double> input(const SsmShape& s, long tokens, unsigned seed) {
  SsmInput<double> in;
  in.x = random_matrix(tokens, s.heads * s.head_dim, seed);
  in.step = random_matrix(tokens, s.heads, seed + 1);
  for (double& v : in.step.data()) v = std::log1p(std::exp(v));  // softplus
  in.b = random_matrix(tokens, s.groups * s.state, seed + 2);
  in.c = random_matrix(tokens, s.groups * s.state, seed + 3);
  for (long h = 0; h < s.heads; ++h) {
    in.a.push_back(-0.1 * static_cast<double>(h + 1));
    in.d.push_back(0.5 + static_cast<double>(h));
  }
  return in;
}

SsmInput<double> rows(const SsmInput<double>& in, long first, long count) {
  SsmInput<double> out = in;
  out.x = slice_rows(in.x, first, count);
  out.step = slice_rows(in.step, first, count);
  out.b = slice_rows(in.b, first, count);
  out.c = slice_rows(in.c, first, count);
  return out;
}

}  // namespace

TEST_CASE("SSD: the chunked form equals the recurrence for every chunk size, ragged ones too") {
  const SsmShape s{4, 3, 5, 2};
  const auto in = input(s, 23, 1);
  SsmState<double> carried;
  const auto expected = ssm_recurrent(in, s, carried);
  for (const long chunk : {1L, 2L, 7L, 23L, 100L}) {
    SsmState<double> state;
    CHECK(largest_difference(ssm_chunked(in, s, chunk, state), expected) < 1e-12);
    CHECK(largest_difference(state, carried) < 1e-12);
  }
}

TEST_CASE("SSD: prefill in chunks, then decode from its state, equals one pass") {
  const SsmShape s{2, 4, 3, 1};
  const auto in = input(s, 12, 5);
  SsmState<double> whole, state;
  const auto expected = ssm_recurrent(in, s, whole);
  (void)ssm_chunked(rows(in, 0, 9), s, 4, state);
  const auto tail = ssm_recurrent(rows(in, 9, 3), s, state);
  CHECK(largest_difference(tail, slice_rows(expected, 9, 3)) < 1e-12);
}

TEST_CASE("SSD: without decay and with unit vectors the layer sums what it has seen") {
  SsmShape s{1, 1, 1, 1};
  SsmInput<double> in;
  in.x = Matrix<double>(5, 1, 2.0);
  in.step = in.b = in.c = Matrix<double>(5, 1, 1.0);
  in.a = {0.0};
  in.d = {0.0};
  SsmState<double> state;
  const auto y = ssm_recurrent(in, s, state);
  for (long t = 0; t < 5; ++t) CHECK(y(t, 0) == 2.0 * static_cast<double>(t + 1));
}

TEST_CASE("SSD: a decode step takes two multiply-adds and one decay per state element") {
  const SsmShape s{4, 3, 5, 2};
  SsmState<double> state;
  Meter meter;
  (void)ssm_recurrent(input(s, 1, 1), s, state, &meter);
  const double elements = 4 * 3 * 5;
  CHECK(meter.multiply_adds == 2 * elements);
  CHECK(meter.other_flops == elements);
  CHECK(meter.of(TensorClass::kv_cache) == 4 * elements);  // 16 bits, read and written
  // Chunks of Q: Q (Q + 1) / 2 pairs of N + P, and 2 P N a token across chunks.
  Meter chunked;
  SsmState<double> fresh;
  (void)ssm_chunked(input(s, 12, 1), s, 6, fresh, &chunked);
  CHECK(chunked.multiply_adds == 4 * (2 * 21 * (5 + 3) + 12 * 2 * 3 * 5));
}
