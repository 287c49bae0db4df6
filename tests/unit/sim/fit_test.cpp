// Calibration finds constants that were hidden in made-up measurements.
#include "jevons/sim/fit.hpp"

#include "jevons/core/error.hpp"
#include "jevons/hwmodels/catalogue.hpp"
#include "jevons/sim/operator_cost.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <vector>

using namespace jevons;
using namespace jevons::sim;

namespace {

/// Square-ish GEMMs on an H100, timed by the model with two constants changed.
struct MadeUp {
  std::vector<std::unique_ptr<Scenario>> scenarios;
  std::vector<FitSample> samples;
  double rate = 0, floor = 0;

  MadeUp() {
    const hwmodels::Catalogue catalogue;
    hwmodels::Cluster truth =
        hwmodels::make_cluster(catalogue.accelerator("h100-sxm", "test"), 1, {}, "test");
    const hwmodels::Cluster start = truth;
    const hwmodels::Stack stack = catalogue.stack("ideal", "test");
    rate = truth.accelerator.constants.at("gemm.rate.bf16");
    floor = truth.accelerator.constants.at("gemm.floor_us.bf16");
    truth.accelerator.constants.set("gemm.rate.bf16", {0.8 * rate, {}, ""});
    truth.accelerator.constants.set("gemm.floor_us.bf16", {1.5 * floor, {}, ""});
    const OperatorModel model(truth, stack);
    for (const double m : {1.0, 16.0, 256.0, 4096.0, 8192.0}) {
      for (const double n : {512.0, 4096.0, 8192.0}) {
        auto scenario = std::make_unique<Scenario>();
        scenario->task = Task::op;
        scenario->cluster = start;
        scenario->stack = stack;
        workloads::Gemm shape;
        shape.m = m;
        shape.n = n;
        shape.k = 4096;
        scenario->op.op.shape = shape;
        const double time = model.cost(scenario->op.op).time.raw();
        samples.push_back({"made up", scenario.get(), "time_s", time, "made/up"});
        scenarios.push_back(std::move(scenario));
      }
    }
  }
};

}  // namespace

TEST_CASE("fit: hidden constants are found within two per cent") {
  const MadeUp made;
  const std::vector<FitConstant> constants{
      {"gemm.rate.bf16", "h100-sxm", made.rate, made.rate / 4, 1.0},
      {"gemm.floor_us.bf16", "hopper", made.floor, made.floor / 4, made.floor * 4}};
  FitOptions loose;
  loose.prior = 10;
  const FitResult result = fit(made.samples, constants, loose);
  CHECK(result.constants[0].after == doctest::Approx(0.8 * made.rate).epsilon(0.02));
  CHECK(result.constants[1].after == doctest::Approx(1.5 * made.floor).epsilon(0.02));
  CHECK(result.median_after < 0.003);
  CHECK(result.median_before > 0.02);
  CHECK(result.constants[1].rows == 15);
}

TEST_CASE("fit: one wild measurement does not move the constants") {
  MadeUp made;
  made.samples[4].measured *= 8;
  const std::vector<FitConstant> constants{
      {"gemm.rate.bf16", "", made.rate, made.rate / 4, 1.0},
      {"gemm.floor_us.bf16", "", made.floor, made.floor / 4, made.floor * 4}};
  FitOptions loose;
  loose.prior = 10;
  const FitResult result = fit(made.samples, constants, loose);
  CHECK(result.constants[0].after == doctest::Approx(0.8 * made.rate).epsilon(0.04));
}

TEST_CASE("fit: a constant stops at its bound and says so") {
  const MadeUp made;
  const std::vector<FitConstant> constants{{"gemm.rate.bf16", "", made.rate, 0.9 * made.rate, 1.0}};
  const FitResult result = fit(made.samples, constants);
  CHECK(result.constants[0].at_bound);
  CHECK(result.constants[0].after == doctest::Approx(0.9 * made.rate));
}

TEST_CASE("fit: a constant of another chip is left alone and moves no row") {
  const MadeUp made;
  const std::vector<FitConstant> constants{
      {"gemm.rate.bf16", "l40s", made.rate, made.rate / 4, 1.0}};
  const FitResult result = fit(made.samples, constants);
  CHECK(result.constants[0].rows == 0);
  CHECK(result.constants[0].after == doctest::Approx(made.rate));
}

TEST_CASE("fit: nothing to fit is an error, not a result") {
  CHECK_THROWS_AS((void)fit({}, {}, {}), Error);
}

TEST_CASE("cross: a left-out group does not see its own measurements") {
  MadeUp made;
  const hwmodels::Catalogue catalogue;
  const ClassConstants classes = [&](const std::string& generation) {
    return catalogue.class_constants(generation);
  };
  const std::vector<CrossGroup> first = cross_validate(made.samples, classes);
  for (FitSample& sample : made.samples) sample.measured *= 2;
  const std::vector<CrossGroup> second = cross_validate(made.samples, classes);
  REQUIRE(first.size() == 1);
  // The predictions stay, so the errors halve with the doubled measurements.
  for (std::size_t i = 0; i < first[0].errors.size(); ++i) {
    CHECK(1 + second[0].errors[i] == doctest::Approx((1 + first[0].errors[i]) / 2));
  }
  CHECK(first[0].rows_left == 0);
}
