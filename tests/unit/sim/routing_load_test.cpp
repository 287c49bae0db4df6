// Load of the most loaded rank: closed forms against simulated tables and counting.
#include "jevons/hwmodels/catalogue.hpp"
#include "jevons/sim/operator_cost.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <vector>

using namespace jevons;

namespace {

/// "rows = 128" of the explanation, as a number.
double explained(const workloads::MoeExperts& shape, const std::string& name) {
  const hwmodels::Catalogue catalogue;
  const hwmodels::Cluster cluster =
      hwmodels::make_cluster(catalogue.accelerator("h100-sxm", "test"), 8, {}, "test");
  workloads::Operator op;
  op.shape = shape;
  const std::string text =
      sim::OperatorModel(cluster, catalogue.stack("ideal", "test")).explain(op);
  const std::size_t at = text.find(name + " = ");
  REQUIRE(at != std::string::npos);
  return std::strtod(text.c_str() + at + name.size() + 3, nullptr);
}

workloads::MoeExperts layer(double tokens, long ep, workloads::Routing routing, double exponent) {
  workloads::MoeExperts shape;
  shape.tokens = tokens;
  shape.hidden = 7168;
  shape.intermediate = 2048;
  shape.top_k = 8;
  shape.experts = 256;
  shape.ep = ep;
  shape.routing = routing;
  shape.power_law = exponent;
  return shape;
}

}  // namespace

TEST_CASE("routing: the power law's closed form meets the simulated imbalance within 15 %") {
  struct Row {
    double exponent, tokens;
    std::vector<double> max_over_mean;  // at ep 4, 8, 16, 32, 64
  };
  const std::vector<Row> rows{
      {1.01, 64, {1.14, 1.28, 1.52, 1.88, 2.43}},  {1.01, 4096, {1.22, 1.53, 1.90, 2.46, 3.75}},
      {1.2, 64, {1.15, 1.32, 1.58, 1.96, 2.65}},   {1.2, 512, {1.27, 1.50, 1.91, 2.57, 3.93}},
      {1.2, 4096, {1.35, 1.66, 2.24, 3.48, 5.61}}, {1.2, 16384, {1.49, 1.92, 2.68, 4.11, 6.97}}};
  for (const Row& row : rows) {
    long ep = 4;
    for (const double simulated : row.max_over_mean) {
      CAPTURE(row.exponent);
      CAPTURE(row.tokens);
      CAPTURE(ep);
      const double ratio =
          explained(layer(row.tokens, ep, workloads::Routing::power_law, row.exponent), "max/mean");
      CHECK(ratio == doctest::Approx(simulated).epsilon(0.15));
      ep *= 2;
    }
  }
}

TEST_CASE("routing: worked rows and active experts of the kernel tables") {
  using workloads::Routing;
  CHECK(explained(layer(128, 8, Routing::balanced, 0), "rows") == doctest::Approx(128));
  CHECK(explained(layer(128, 8, Routing::balanced, 0), "active experts") == doctest::Approx(32));
  CHECK(explained(layer(8, 8, Routing::balanced, 0), "active experts") == doctest::Approx(8));
  const auto skewed = layer(4096, 32, Routing::power_law, 1.2);
  CHECK(explained(skewed, "rows") == doctest::Approx(3513.7).epsilon(0.01));
  CHECK(explained(skewed, "active experts") == doctest::Approx(8));
  const auto many = layer(8192, 8, Routing::power_law, 1.01);
  CHECK(explained(many, "rows") == doctest::Approx(12294).epsilon(0.01));
  CHECK(explained(many, "active experts") == doctest::Approx(31.11).epsilon(0.01));
}

TEST_CASE("routing: uniform draws leave experts idle that balanced routing fills") {
  using workloads::Routing;
  // 32 tokens of 8 out of 256 on one rank: 256 (1 - (1 - 1/32)^32) = 163.3 experts.
  CHECK(explained(layer(32, 1, Routing::uniform, 0), "active experts") ==
        doctest::Approx(163.3).epsilon(0.001));
  CHECK(explained(layer(32, 1, Routing::balanced, 0), "active experts") == doctest::Approx(256));
  CHECK(explained(layer(65536, 8, Routing::uniform, 0), "max/mean") < 1.02);
}
