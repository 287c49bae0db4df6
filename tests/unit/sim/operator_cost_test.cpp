// Worked values of the operator models, computed by hand from the printed constants, and limits.
#include "jevons/sim/operator_cost.hpp"

#include "jevons/hwmodels/catalogue.hpp"

#include <doctest/doctest.h>

#include <string_view>
#include <utility>
#include <vector>

using namespace jevons;
using namespace jevons::workloads;

namespace {

struct Bench {
  hwmodels::Cluster cluster;
  hwmodels::Stack stack;

  explicit Bench(std::string_view sku, long count = 8, std::string_view stack_id = "ideal") {
    const hwmodels::Catalogue catalogue;
    cluster = hwmodels::make_cluster(catalogue.accelerator(sku, "test"), count, {}, "test");
    stack = catalogue.stack(stack_id, "test");
  }
  [[nodiscard]] double us(const Operator& op, sim::RunConditions run = {}) const {
    return sim::OperatorModel(cluster, stack).cost(op, run).time.raw() * 1e6;
  }
};

Operator gemm(double m, double n, double k, Format format) {
  Operator op;
  Gemm shape;
  shape.m = m;
  shape.n = n;
  shape.k = k;
  op.shape = shape;
  op.format = op.weight_format = {format, 0};
  op.activation_format = {Format::bf16, 0};
  return op;
}

Operator with(Shape shape, Format format = Format::bf16, Format cache = Format::bf16) {
  Operator op;
  op.shape = std::move(shape);
  op.format = op.weight_format = {format, 0};
  op.activation_format = {cache, 0};
  return op;
}

}  // namespace

TEST_CASE("GEMM: predictions equal the worked values of the fit within two per cent") {
  struct Row {
    std::string_view sku;
    Format format;
    double m, n, k, us;
  };
  const std::vector<Row> rows{
      {"h100-sxm", Format::bf16, 1, 8192, 8192, 51.10},
      {"h100-sxm", Format::bf16, 512, 4096, 7168, 43.51},
      {"h100-sxm", Format::bf16, 4096, 8192, 8192, 700.88},
      {"h100-sxm", Format::bf16, 128, 256, 16384, 9.52},
      {"h100-sxm", Format::fp8, 4096, 7168, 2048, 120.06},
      {"h100-sxm", Format::fp8_block, 1, 2048, 7168, 14.06},
      {"h100-sxm", Format::fp8_block, 129, 2048, 7168, 33.84},
      {"b200-sxm", Format::bf16, 4096, 8192, 4096, 178.13},
      {"b200-sxm", Format::fp8, 8192, 16384, 16384, 1581.8},
      {"b200-sxm", Format::nvfp4, 1, 8192, 8192, 22.44},
      {"b200-sxm", Format::fp8_block, 64, 7168, 2048, 8.19},
      {"a100-80gb-sxm", Format::bf16, 1, 12288, 12288, 188.49},
      {"l40s", Format::fp8, 1, 8192, 8192, 107.02},
  };
  for (const Row& row : rows) {
    CAPTURE(row.us);
    CHECK(Bench(row.sku).us(gemm(row.m, row.n, row.k, row.format)) ==
          doctest::Approx(row.us).epsilon(0.02));
  }
}

TEST_CASE("MoE experts: predictions equal the worked values of the fit") {
  struct Row {
    std::string_view sku;
    Format format;
    double tokens, hidden, intermediate, top_k, experts;
    long ep;
    double power_law, us;
  };
  const std::vector<Row> rows{
      {"h100-sxm", Format::fp8_block, 128, 7168, 2048, 8, 256, 8, 0, 496.5},
      {"h100-sxm", Format::fp8_block, 4096, 7168, 2048, 8, 256, 32, 1.2, 660.2},
      {"h100-sxm", Format::bf16, 512, 6144, 2048, 8, 256, 8, 1.01, 792.9},
      {"h100-sxm", Format::bf16, 16384, 4096, 14336, 2, 8, 1, 0, 15901.7},
      {"b200-sxm", Format::fp8_block, 8192, 7168, 2048, 8, 256, 8, 1.01, 800.4},
      {"b200-sxm", Format::bf16, 512, 4096, 1536, 8, 128, 4, 0, 220.0},
      {"b200-sxm", Format::fp8, 8, 6144, 2048, 8, 256, 8, 0, 83.4},
  };
  for (const Row& row : rows) {
    MoeExperts shape;
    shape.tokens = row.tokens;
    shape.hidden = row.hidden;
    shape.intermediate = row.intermediate;
    shape.top_k = row.top_k;
    shape.experts = row.experts;
    shape.ep = row.ep;
    shape.routing = row.power_law > 0 ? Routing::power_law : Routing::balanced;
    shape.power_law = row.power_law;
    CAPTURE(row.us);
    CHECK(Bench(row.sku).us(with(shape, row.format)) == doctest::Approx(row.us).epsilon(0.03));
  }
}

TEST_CASE("attention: predictions equal the worked values of the fits") {
  struct Row {
    AttentionPhase phase;
    double batch, heads, kv_heads, width, keys, window;
    Format cache;
    double us;
  };
  const auto decode = AttentionPhase::decode;
  const auto forward = AttentionPhase::forward;
  const std::vector<Row> rows{
      {decode, 1, 32, 8, 128, 4096, 0, Format::bf16, 13.8},
      {decode, 64, 32, 8, 128, 2048, 0, Format::bf16, 143.2},
      {decode, 16, 64, 8, 128, 16384, 0, Format::bf16, 264.9},
      {decode, 32, 32, 8, 128, 1024, 0, Format::fp8, 36.6},
      {decode, 256, 32, 8, 128, 64, 0, Format::bf16, 77.5},
      {decode, 32, 64, 8, 64, 4096, 128, Format::bf16, 17.2},
      {forward, 1, 32, 8, 128, 4096, 0, Format::bf16, 253.5},
      {forward, 1, 1, 1, 128, 16384, 0, Format::bf16, 233.1},
  };
  for (const Row& row : rows) {
    AttentionCore shape;
    shape.phase = row.phase;
    shape.batch = row.batch;
    shape.heads = row.heads;
    shape.kv_heads = row.kv_heads;
    shape.qk_dim = shape.v_dim = row.width;
    shape.kv_len = row.keys;
    shape.q_len = row.phase == decode ? 1 : row.keys;
    shape.window = row.window;
    CAPTURE(row.us);
    CHECK(Bench("h200-sxm").us(with(shape, Format::bf16, row.cache)) ==
          doctest::Approx(row.us).epsilon(0.03));
  }
}

TEST_CASE("MLA: predictions equal the worked values of the fits") {
  const auto decode = [](std::string_view sku, double batch, double heads, double keys,
                         Format cache) {
    MlaDecode shape;
    shape.batch = batch;
    shape.heads = heads;
    shape.kv_len = keys;
    return Bench(sku).us(with(shape, Format::bf16, cache));
  };
  CHECK(decode("h100-sxm", 64, 16, 4096, Format::bf16) == doctest::Approx(118.7).epsilon(0.03));
  CHECK(decode("h100-sxm", 64, 128, 4096, Format::fp8) == doctest::Approx(121.6).epsilon(0.03));
  CHECK(decode("b200-sxm", 64, 128, 4096, Format::bf16) == doctest::Approx(73.9).epsilon(0.03));
  CHECK(decode("b200-sxm", 256, 64, 1024, Format::fp8) == doctest::Approx(49.9).epsilon(0.03));

  const auto prefill = [](std::string_view sku, double batch, double heads, double tokens,
                          Format cache) {
    AttentionCore shape;
    shape.batch = batch;
    shape.heads = shape.kv_heads = heads;
    shape.qk_dim = 192;
    shape.q_len = shape.kv_len = tokens;
    return Bench(sku).us(with(shape, Format::bf16, cache));
  };
  CHECK(prefill("h100-sxm", 1, 128, 4096, Format::bf16) == doctest::Approx(1300.5).epsilon(0.03));
  CHECK(prefill("h100-sxm", 1, 8, 16384, Format::fp8) == doctest::Approx(1125.5).epsilon(0.03));
  CHECK(prefill("b200-sxm", 8, 128, 256, Format::bf16) == doctest::Approx(99.0).epsilon(0.03));
}

TEST_CASE("collectives: predictions equal the worked values of the NCCL fit") {
  const auto us = [](CollectiveKind kind, long ranks, double bytes) {
    Collective shape;
    shape.kind = kind;
    shape.ranks = ranks;
    shape.bytes = bytes;
    return Bench("h100-sxm").us(with(shape));
  };
  constexpr double kKi = 1024;
  constexpr double kMi = kKi * kKi;
  CHECK(us(CollectiveKind::all_gather, 2, 64 * kKi) == doctest::Approx(6.35).epsilon(0.02));
  CHECK(us(CollectiveKind::all_gather, 8, kMi) == doctest::Approx(16.65).epsilon(0.02));
  CHECK(us(CollectiveKind::all_gather, 8, 512 * kMi) == doctest::Approx(1372.8).epsilon(0.02));
  CHECK(us(CollectiveKind::reduce_scatter, 4, 16 * kMi) == doctest::Approx(64.2).epsilon(0.02));
  CHECK(us(CollectiveKind::all_reduce, 8, 64 * kKi) == doctest::Approx(18.5).epsilon(0.02));
  CHECK(us(CollectiveKind::all_reduce, 8, 16 * kMi) == doctest::Approx(120.2).epsilon(0.02));
  CHECK(us(CollectiveKind::all_reduce, 8, 512 * kMi) == doctest::Approx(2039).epsilon(0.02));
  CHECK(us(CollectiveKind::all_to_all, 8, 256 * kKi) == doctest::Approx(12.3).epsilon(0.02));
  CHECK(us(CollectiveKind::all_to_all, 8, 128 * kMi) == doctest::Approx(428.7).epsilon(0.02));
}

TEST_CASE("expert exchange: predictions equal the worked values of the DeepEP fits") {
  const auto us = [](std::string_view sku, bool combine, bool low, long ranks, double tokens,
                     double sms) {
    MoeExchange shape;
    shape.combine = combine;
    shape.low_latency = low;
    shape.tokens = tokens;
    shape.hidden = 7168;
    shape.top_k = 8;
    shape.experts = 256;
    shape.ranks = ranks;
    shape.bytes_per_element = combine ? 2 : 1;
    shape.sms = sms;
    return Bench(sku, 64).us(with(shape));
  };
  CHECK(us("h100-sxm", false, true, 8, 128, 0) == doctest::Approx(41.2).epsilon(0.02));
  CHECK(us("h100-sxm", true, true, 8, 128, 0) == doctest::Approx(72.1).epsilon(0.02));
  CHECK(us("h100-sxm", false, true, 16, 64, 0) == doctest::Approx(60.4).epsilon(0.02));
  CHECK(us("h100-sxm", false, true, 64, 256, 0) == doctest::Approx(301.8).epsilon(0.02));
  CHECK(us("h100-sxm", true, true, 64, 256, 0) == doctest::Approx(583.9).epsilon(0.02));
  CHECK(us("b200-sxm", false, true, 8, 1024, 0) == doctest::Approx(130.3).epsilon(0.02));
  CHECK(us("b200-sxm", true, true, 8, 1024, 0) == doctest::Approx(188.3).epsilon(0.02));
  CHECK(us("h100-sxm", false, false, 8, 4096, 20) == doctest::Approx(515).epsilon(0.02));
  CHECK(us("h100-sxm", true, false, 8, 4096, 20) == doctest::Approx(962).epsilon(0.02));
  CHECK(us("h100-sxm", false, false, 32, 4096, 24) == doctest::Approx(1918).epsilon(0.02));
  CHECK(us("h100-sxm", true, false, 32, 4096, 24) == doctest::Approx(3715).epsilon(0.02));
}

TEST_CASE("GEMM: time never falls by more than a tile effect as m, n or k grows") {
  const Bench bench("h100-sxm");
  const sim::OperatorModel model(bench.cluster, bench.stack);
  const auto us = [&](double m, double n, double k) {
    return model.cost(gemm(m, n, k, Format::bf16)).time.raw();
  };
  for (double size = 64; size < 16384; size *= 2) {
    CHECK(us(2 * size, 4096, 4096) > 0.95 * us(size, 4096, 4096));
    CHECK(us(512, 2 * size, 4096) > 0.95 * us(512, size, 4096));
    CHECK(us(512, 4096, 2 * size) > 0.95 * us(512, 4096, size));
  }
}

TEST_CASE("GEMM: a huge one nears the sustained rate, a tiny one costs the floor") {
  const Bench bench("h100-sxm");
  const Operator huge = gemm(32768, 32768, 32768, Format::bf16);
  const sim::OperatorModel model(bench.cluster, bench.stack);
  const sim::OperatorCost cost = model.cost(huge);
  const double share = cost.flops.raw() / cost.time.raw() / cost.peak.raw();
  CHECK(share > 0.72);  // 0.84 of the peak at full clock, 0.107 droop
  CHECK(share < 0.80);
  CHECK(cost.bound == sim::Bound::compute);
  const double tiny = bench.us(gemm(1, 64, 64, Format::bf16));
  CHECK(tiny > 1.5);
  CHECK(tiny < 4.5);
}

TEST_CASE("GEMM: cold weights are never faster, held units never help") {
  const Bench bench("h800-sxm");
  for (const double m : {1.0, 64.0, 4096.0}) {
    const Operator op = gemm(m, 2048, 7168, Format::bf16);
    CHECK(bench.us(op, {true, 0}) >= bench.us(op) - 1e-9);
    CHECK(bench.us(op, {false, 20}) >= bench.us(op) - 1e-9);
  }
  const Operator large = gemm(8192, 8192, 8192, Format::bf16);
  // Compute-bound: 112 of 132 units give 132/112 of the time, up to whole waves.
  CHECK(bench.us(large, {false, 20}) / bench.us(large) ==
        doctest::Approx(132.0 / 112).epsilon(0.08));
}

TEST_CASE("expert exchange: more tokens or bytes are never faster; node limits save traffic") {
  const Bench bench("h800-sxm", 64, "deepseek-serving-2025");
  MoeExchange shape;
  shape.hidden = 7168;
  shape.top_k = 8;
  shape.experts = 256;
  shape.ranks = 64;
  shape.bytes_per_element = 1;
  double before = 0;
  for (double tokens = 64; tokens <= 8192; tokens *= 2) {
    shape.tokens = tokens;
    const double now = bench.us(with(shape));
    CHECK(now > before);
    before = now;
  }
  MoeExchange limited = shape;
  limited.group_limit = 4;
  CHECK(bench.us(with(limited)) < bench.us(with(shape)));
}

TEST_CASE("collectives across nodes: the NIC bounds large buffers, hops bound small ones") {
  const Bench bench("h100-sxm", 64);
  Collective shape;
  shape.kind = CollectiveKind::all_reduce;
  shape.ranks = 64;
  shape.bytes = 8e9;
  // Every rank sends 2 (N-1)/N of an eighth of the buffer through 50 GB/s.
  const double wire = 2 * 8e9 / 8 * 7 / 8 / 50e9 * 1e6;
  CHECK(bench.us(with(shape)) > wire);
  CHECK(bench.us(with(shape)) < 1.15 * wire);
  shape.bytes = 1024;
  CHECK(bench.us(with(shape)) > 30);
  CHECK(bench.us(with(shape)) < 150);
}
