// Worked values of the operator models, computed by hand from the printed constants, and limits.
#include "jevons/sim/operator_cost.hpp"

#include "jevons/hwmodels/catalogue.hpp"

#include <doctest/doctest.h>

#include <string_view>
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
