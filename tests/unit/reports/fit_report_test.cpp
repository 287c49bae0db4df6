// The operator scoreboard's bounds, calibration of a SKU file and the leave-one-group-out checks.
#include "jevons/reports/fit_report.hpp"

#include "jevons/core/error.hpp"
#include "jevons/reports/serving_fit.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

using namespace jevons;
using namespace jevons::reports;

namespace {

std::vector<TruthCase> operators() {
  std::vector<TruthCase> cases;
  for (const char* name : {"ops", "ops-tables", "ops-kernels", "training-components"}) {
    const std::vector<TruthCase> more =
        read_truth(std::string(JEVONS_SOURCE_DIR) + "/tests/truth/" + name + ".json");
    cases.insert(cases.end(), more.begin(), more.end());
  }
  return cases;
}

std::vector<TruthCase> of_group(const std::string& prefix) {
  std::vector<TruthCase> cases;
  for (const TruthCase& truth : operators()) {
    if (truth.group.starts_with(prefix)) cases.push_back(truth);
  }
  return cases;
}

}  // namespace

TEST_CASE("scoreboard: 1,102 measured operators within a median of 5 % and a P90 of 18 %") {
  const FitInput input = fit_input(operators(), hwmodels::Catalogue());
  CHECK(input.samples.size() == 1102);
  CHECK(input.refused.empty());
  std::vector<ValidationRow> rows;
  const std::vector<double> errors = sim::errors_with(input.samples, {});
  for (std::size_t i = 0; i < errors.size(); ++i) {
    ValidationRow row;
    row.measured = input.samples[i].measured;
    row.error = errors[i];
    row.predicted = row.measured * (1 + errors[i]);
    rows.push_back(row);
  }
  const ValidationStatistics all = statistics(rows);
  CHECK(all.failures == 0);
  CHECK(all.median < 0.05);
  CHECK(all.p90 < 0.18);
}

TEST_CASE("cross: operators of a left-out group within a median of 12 %" *
          doctest::description("refits some seventy times")) {
  const hwmodels::Catalogue catalogue;
  const Validation cross =
      cross_validation(fit_input(of_group("op/h100-sxm/"), catalogue), catalogue);
  CHECK(cross.rows.size() > 300);
  CHECK(cross.overall.failures == 0);
  CHECK(cross.overall.median < 0.12);
}

TEST_CASE("cross: training steps of a left-out stack or chip fall back to what others set") {
  const hwmodels::Catalogue catalogue;
  std::vector<TruthCase> cases;
  for (const TruthCase& truth :
       read_truth(std::string(JEVONS_SOURCE_DIR) + "/tests/truth/training-open.json")) {
    if (truth.group.starts_with("train/tpu")) cases.push_back(truth);
  }
  const FitInput input = training_input(cases, catalogue);
  REQUIRE(input.refused.empty());
  sim::CrossOptions one, three;
  one.threads = 1;
  three.threads = 3;
  const Validation alone = training_cross_validation(input, catalogue, one);
  const Validation shared = training_cross_validation(input, catalogue, three);
  REQUIRE(alone.rows.size() == input.samples.size());
  for (std::size_t i = 0; i < alone.rows.size(); ++i) {
    CHECK(alone.rows[i].id == shared.rows[i].id);
    CHECK(*alone.rows[i].error == *shared.rows[i].error);
  }
  // What a chip never measured costs: worse than its own constants, still a usable forecast.
  ValidationOptions shipped;
  CHECK(alone.overall.median > validate(cases, catalogue, shipped).overall.median);
  CHECK(alone.overall.median < 0.25);
}

TEST_CASE(
    "cross: a left-out group of serving runs is predicted from the stack's other runs alone") {
  const hwmodels::Catalogue catalogue;
  const auto errors = [&](const std::string& spoilt) {
    std::vector<TruthCase> cases;
    for (TruthCase& truth :
         read_truth(std::string(JEVONS_SOURCE_DIR) + "/tests/truth/serving-inferencex.json")) {
      if (!truth.group.ends_with("/llama-70b-closed")) continue;
      for (TruthCase::Fact& fact : truth.measured) {
        if (truth.group == spoilt) fact.value *= 1.5;
      }
      cases.push_back(std::move(truth));
    }
    sim::CrossOptions how;
    how.fit.most_iterations = 2;
    return serving_cross_validation(serving_fit_input(cases, catalogue, {"tpot_"}), how);
  };
  const std::string spoilt = "serve/h100-sxm/llama-70b-closed";
  const Validation honest = errors(""), other = errors(spoilt);
  REQUIRE(honest.rows.size() > 10);
  REQUIRE(honest.rows.size() == other.rows.size());
  bool others_saw_it = false;
  for (std::size_t i = 0; i < honest.rows.size(); ++i) {
    const ValidationRow &a = honest.rows[i], &b = other.rows[i];
    if (a.group.starts_with(spoilt)) {
      CHECK(*a.predicted == doctest::Approx(*b.predicted));
    } else {
      others_saw_it = others_saw_it || *b.predicted > 1.02 * *a.predicted;
    }
  }
  CHECK(others_saw_it);
}

TEST_CASE("cross: a stack's constant bears on the stacks that take it from there") {
  const hwmodels::Catalogue catalogue;
  const auto stack = [&](const char* id) { return catalogue.stack(id, "test"); };
  const std::string name = "host_per_moe_layer_forward_s";
  const std::string scope = sim::kStackScope + "megatron-bridge-25.09";
  CHECK(sim::stack_gives(stack("megatron-bridge-25.09"), name, scope));
  CHECK(sim::stack_gives(stack("megatron-bridge-26.06"), name, scope));
  CHECK_FALSE(sim::stack_gives(stack("nanotron"), name, scope));
  // 26.06 gives its own overlap of the exchange.
  CHECK_FALSE(sim::stack_gives(stack("megatron-bridge-26.06"), "ep_overlap",
                               sim::kStackScope + "megatron-bridge-26.02"));
}

TEST_CASE("fit: a SKU file comes back with at most eight constants that lower its error") {
  const hwmodels::Catalogue catalogue;
  const FitInput input = fit_input(of_group("op/l40s/"), catalogue);
  FitRequest request;
  request.accelerator = "l40s";
  request.constants = {"gemm.memory_rate", "gemm.overlap.bf16", "gemm.cache_rate"};
  const sim::FitResult result = fit_accelerator(request, input, catalogue);
  CHECK(result.constants.size() == 3);
  CHECK(result.median_after < 0.10);

  const Json sku = parse_json(hwmodels::data_file("accelerators/l40s.json"), "l40s.json");
  const Json fitted = fitted_sku(sku, result, input, "tests/truth/ops-kernels.json");
  const hwmodels::Accelerator read = catalogue.accelerator(fitted, "fitted.json", "");
  CHECK(read.constants.at("gemm.memory_rate") ==
        doctest::Approx(result.constants[0].after).epsilon(1e-3));
  const std::string source = read.constants.find("gemm.memory_rate")->source.text;
  CHECK(source.find("66 rows") != std::string::npos);
  CHECK(source.find("krn-") != std::string::npos);
  CHECK(fit_to_text(result).find("gemm.cache_rate") != std::string::npos);
}

TEST_CASE("fit: a misspelt constant names the nearest, an unmeasured SKU is refused") {
  const hwmodels::Catalogue catalogue;
  const FitInput input = fit_input(of_group("op/l40s/"), catalogue);
  FitRequest request;
  request.accelerator = "l40s";
  request.constants = {"gemm.memory_rates"};
  try {
    (void)fit_accelerator(request, input, catalogue);
    FAIL("the constant does not exist");
  } catch (const Error& error) {
    CHECK(error.hint().find("gemm.memory_rate") != std::string::npos);
  }
  request.accelerator = "mi300x";
  request.constants.clear();
  CHECK_THROWS_AS((void)fit_accelerator(request, input, catalogue), Error);
  request.accelerator = "l40s";
  request.constants.assign(9, "gemm.memory_rate");
  CHECK_THROWS_AS((void)fit_accelerator(request, input, catalogue), Error);
}
