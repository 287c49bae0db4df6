#include "jevons/reference/ssm.hpp"

#include "random.hpp"

#include "jevons/workloads/graph.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <variant>

using namespace jevons::reference;
namespace wl = jevons::workloads;

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
  // Chunks of Q: Q (Q + 1) / 2 pairs of N a group and P a head, and 2 P N a token across chunks.
  Meter chunked;
  SsmState<double> fresh;
  (void)ssm_chunked(input(s, 12, 1), s, 6, fresh, &chunked);
  CHECK(chunked.multiply_adds == 2 * 21 * (2 * 5 + 4 * 3) + 4 * (12 * 2 * 3 * 5));
}

TEST_CASE("SSD: the convolution is causal and carries over from one call to the next") {
  const auto x = random_matrix(9, 3, 1), w = random_matrix(3, 4, 2);
  const std::vector<double> bias{0.1, 0.2, 0.3};
  Matrix<double> tail, carried;
  const auto y = causal_convolution(x, w, bias, tail);
  for (long t = 0; t < 9; ++t) {
    for (long c = 0; c < 3; ++c) {
      double sum = bias[static_cast<std::size_t>(c)];
      for (long back = 0; back < 4 && back <= t; ++back) sum += w(c, 3 - back) * x(t - back, c);
      CHECK(y(t, c) == doctest::Approx(sum));
    }
    const auto one = causal_convolution(slice_rows(x, t, 1), w, bias, carried);
    CHECK(largest_difference(one, slice_rows(y, t, 1)) < 1e-14);
  }
}

TEST_CASE("counting: scan and convolution of a Mamba-2 layer do what the graphs claim") {
  const jevons::Json config{
      {"model_type", "mamba2"}, {"num_hidden_layers", 1}, {"hidden_size", 6}, {"expand", 2},
      {"head_dim", 3},          {"num_heads", 4},         {"state_size", 5},  {"n_groups", 2},
      {"conv_kernel", 4},       {"vocab_size", 10}};
  const wl::ModelConfig model = wl::model_from_config(config, "toy");
  const SsmShape s{4, 3, 5, 2};
  const long channels = 12 + 2 * 2 * 5, tokens = 512;
  const auto scan_of = [](const wl::OperatorGraph& graph) {
    for (const wl::Operator& op : graph.operators) {
      if (std::holds_alternative<wl::Scan>(op.shape)) return work_of(op);
    }
    return wl::Work{};
  };
  // Prefill in chunks of 256, as the graph takes; (s + 1)/2 pairs where it takes s/2.
  wl::LayerContext context;
  context.tokens = context.sequence = static_cast<double>(tokens);
  Meter meter;
  SsmState<double> state;
  Matrix<double> tail;
  const std::vector<double> bias(static_cast<std::size_t>(channels), 0.0);
  (void)causal_convolution(random_matrix(tokens, channels, 1), random_matrix(channels, 4, 2), bias,
                           tail, &meter);
  (void)ssm_chunked(input(s, tokens, 3), s, 256, state, &meter);
  const double half_pair = static_cast<double>(tokens) * (2 * 5 + 12);
  CHECK(meter.flops() == scan_of(layer_forward(model, model.layers[0], context)).flops + half_pair);
  // One decoded token: exactly.
  wl::DecodeContext step;
  step.context = 100;
  Meter one;
  (void)causal_convolution(random_matrix(1, channels, 1), random_matrix(channels, 4, 2), bias, tail,
                           &one);
  (void)ssm_recurrent(input(s, 1, 3), s, state, &one);
  CHECK(one.flops() == scan_of(layer_decode(model, model.layers[0], step)).flops);
}
