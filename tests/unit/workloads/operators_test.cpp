// FLOPs and bytes of single operators against published figures and hand arithmetic.
#include "jevons/workloads/operators.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cmath>

using namespace jevons;
using namespace jevons::workloads;
using doctest::Approx;

namespace {

constexpr NumberFormat kBf16{Format::bf16, 0}, kFp8{Format::fp8, 0}, kBlock{Format::fp8_block, 0};

Operator op(Shape shape, NumberFormat format = kBf16) {
  return {.name = "op",
          .shape = std::move(shape),
          .format = format,
          .weight_format = format,
          .activation_format = format};
}

double bytes(const Work& w, TensorClass c) {
  return w.bytes[static_cast<std::size_t>(c)];
}

}  // namespace

TEST_CASE("a GEMM multiplies 2 m n k and moves both operands and its product once") {
  const Work w = work_of(op(Gemm{.m = 64, .n = 7168, .k = 2048}));
  CHECK(w.flops == Approx(2.0 * 64 * 7168 * 2048));
  CHECK(bytes(w, TensorClass::weights) == Approx(2.0 * 7168 * 2048));
  CHECK(bytes(w, TensorClass::activations) == Approx(2.0 * 64 * (2048 + 7168)));
  const Work four = work_of(op(Gemm{.m = 64, .n = 7168, .k = 2048, .groups = 4}));
  CHECK(four.flops == Approx(4 * w.flops));
  CHECK(four.total_bytes() == Approx(4 * w.total_bytes()));
}

TEST_CASE("scales are counted: an fp8-block weight is 1 + 4/16384 bytes, an activation 1 + 4/128") {
  const Work w = work_of(op(Gemm{.m = 128, .n = 128, .k = 128}, kBlock));
  CHECK(bytes(w, TensorClass::weights) == Approx(16384 + 4.0));
  CHECK(bytes(w, TensorClass::activations) == Approx(128 * 132.0 + 128 * 128 * 2.0));
}

TEST_CASE("a weight gradient reads two activations and adds into an fp32 gradient") {
  const Work w =
      work_of(op(Gemm{.m = 100, .n = 200, .k = 4096, .output_bytes = 8, .weight_gradient = true}));
  CHECK(bytes(w, TensorClass::weights) == 0);
  CHECK(bytes(w, TensorClass::gradients) == Approx(100 * 200 * 8.0));
  CHECK(bytes(w, TensorClass::activations) == Approx(4096 * 300 * 2.0));
}

TEST_CASE(
    "causal attention counts half the square, a window w - w²/2s, a prefix what lies before") {
  CHECK(mean_keys_seen(4096, 4096, 0, true) == Approx(2048));
  CHECK(mean_keys_seen(4096, 4096, 0, false) == Approx(4096));
  CHECK(mean_keys_seen(4096, 4096, 1024, true) == Approx(1024 - 1024.0 * 1024 / 8192));
  CHECK(mean_keys_seen(512, 4096, 0, true) == Approx(4096 - 256));
  CHECK(mean_keys_seen(512, 4096, 128, true) == Approx(128));
  for (const double window : {3.0, 700.0, 1000.0, 5000.0}) {  // against the sum over positions
    double sum = 0;
    for (int p = 600; p < 1100; ++p) sum += std::min(p + 0.5, window);
    CHECK(mean_keys_seen(500, 1100, window, true) == Approx(sum / 500).epsilon(1e-6));
  }
}

TEST_CASE("V3 attention of one query is 81,920 FLOPs a key expanded and 278,528 absorbed") {
  const Work expanded = work_of(op(AttentionCore{.heads = 128,
                                                 .kv_heads = 128,
                                                 .q_len = 1,
                                                 .kv_len = 1000,
                                                 .qk_dim = 192,
                                                 .v_dim = 128,
                                                 .causal = false,
                                                 .mla = true}));
  CHECK(expanded.flops / 1000 == Approx(81920));
  const Work absorbed = work_of(op(MlaDecode{.kv_len = 1000}));
  CHECK(absorbed.flops / 1000 == Approx(278528));
}

TEST_CASE("absorbed attention does 241.8 FLOPs a cached byte in bf16, twice that in fp8") {
  for (const double keys : {1e3, 1e5}) {
    Operator decode = op(MlaDecode{.batch = 7, .kv_len = keys});
    Work w = work_of(decode);
    CHECK(w.flops / bytes(w, TensorClass::kv_cache) == Approx(241.8).epsilon(2e-4));
    decode.activation_format = kFp8;
    w = work_of(decode);
    CHECK(w.flops / bytes(w, TensorClass::kv_cache) == Approx(483.6).epsilon(2e-4));
  }
}

TEST_CASE("sparse attention gathers keys for every query, dense attention once a sequence") {
  const MlaDecode dense{.batch = 4, .q_len = 2, .kv_len = 2048};
  MlaDecode sparse{.batch = 8, .q_len = 1, .kv_len = 2048, .sparse = true};
  const Work d = work_of(op(dense)), s = work_of(op(sparse));
  CHECK(d.flops == Approx(s.flops));
  CHECK(2 * bytes(d, TensorClass::kv_cache) == Approx(bytes(s, TensorClass::kv_cache)));
}

TEST_CASE("distinct experts of 256 with top-8 follow the published table") {
  constexpr std::array<std::array<double, 2>, 9> kTable{{{1, 8.0},
                                                         {2, 15.8},
                                                         {4, 30.5},
                                                         {8, 57.4},
                                                         {16, 102.0},
                                                         {32, 163.3},
                                                         {64, 222.4},
                                                         {128, 251.6},
                                                         {256, 255.9}}};
  for (const auto& [tokens, expected] : kTable) {
    CHECK(std::abs(expected_distinct_experts(256, 8, tokens) - expected) < 0.051);
  }
}

TEST_CASE("a token's experts lie on 3.63 of V3's nodes with the limit of four, on 5.29 without") {
  CHECK(expected_distinct_groups(256, 8, 8, 4) == Approx(3.63).epsilon(2e-3));
  CHECK(expected_distinct_groups(256, 8, 8, 0) == Approx(5.295).epsilon(1e-3));
  CHECK(expected_distinct_groups(256, 8, 16, 0) == Approx(6.523).epsilon(1e-3));
  CHECK(expected_distinct_groups(256, 8, 32, 0) == Approx(7.267).epsilon(1e-3));
  CHECK(expected_distinct_groups(256, 8, 2, 0) == Approx(1.993).epsilon(1e-3));
  CHECK(expected_distinct_groups(256, 8, 256, 0) == Approx(8));
}

TEST_CASE("experts cost 6 B k d m FLOPs, distinct weights and B k (2 d + 3 m) activations") {
  const MoeExperts e{.tokens = 32,
                     .hidden = 7168,
                     .intermediate = 2048,
                     .top_k = 8,
                     .experts = 256,
                     .routing = Routing::uniform};
  const Work w = work_of(op(e));
  CHECK(w.flops == Approx(6.0 * 32 * 8 * 7168 * 2048));
  const double distinct = expected_distinct_experts(256, 8, 32);
  CHECK(bytes(w, TensorClass::weights) == Approx(distinct * 3 * 7168 * 2048 * 2));
  CHECK(bytes(w, TensorClass::activations) == Approx(32.0 * 8 * (2 * 7168 + 3 * 2048) * 2));
  MoeExperts balanced = e;  // forced-balanced routing spreads 256 rows over 256 experts
  balanced.routing = Routing::balanced;
  CHECK(experts_hit(balanced) == Approx(256));
}

TEST_CASE("V3 sends 7,392 bytes a copy to experts: one a token and expert in low-latency kernels") {
  MoeExchange x{.low_latency = true,
                .tokens = 128,
                .hidden = 7168,
                .top_k = 8,
                .experts = 256,
                .ranks = 8,
                .bytes_per_element = activation_bytes(kBlock)};
  CHECK(work_of(op(x)).total_bytes() == Approx(128 * 8 * 7392.0));
  x.low_latency = false;  // one copy per distinct rank
  CHECK(work_of(op(x)).total_bytes() == Approx(128 * 5.295 * 7392.0).epsilon(1e-3));
}

TEST_CASE("kinds have the names of the contract") {
  CHECK(kind_name(Gemm{}) == "gemm");
  CHECK(kind_name(Gemm{.groups = 2}) == "grouped_gemm");
  CHECK(kind_name(AttentionCore{}) == "attention");
  CHECK(kind_name(MlaDecode{}) == "mla_decode");
  CHECK(kind_name(Copy{}) == "copy");
  CHECK(kind_name(Collective{.kind = CollectiveKind::reduce_scatter}) == "reduce_scatter");
  CHECK(kind_name(MoeExchange{.combine = true}) == "moe_combine");
  CHECK(kind_name(MoeExperts{}) == "moe_experts");
}
