// The closed form of a closed loop against the same run played request by request, on the runs of
// measured engines. Which of the two is nearer to the measurement is not asked here.
#include "stride.hpp"

#include "jevons/core/error.hpp"
#include "jevons/core/json_reader.hpp"
#include "jevons/reports/scenario_json.hpp"
#include "jevons/reports/validation.hpp"
#include "jevons/sim/run.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

using namespace jevons;
using sim::Resolution;
using test::kStride;

namespace {

double at(const sim::Scenario& scenario, const char* metric, Resolution resolution) {
  return *sim::run(scenario, {.resolution = resolution}).metrics.number(metric);
}

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
}

}  // namespace

TEST_CASE("closed loop: cold runs as played, to 3 % of TTFT at the median and 10 % at the P90") {
  const hwmodels::Catalogue catalogue;
  const std::string file = std::string(JEVONS_SOURCE_DIR) + "/tests/truth/serving-engines.json";
  const auto cases = reports::read_truth(file);
  std::vector<double> ttft, tpot;
  for (std::size_t i = 0; i < cases.size(); i += kStride) {
    const auto scenario =
        reports::read_scenario(parse_json(cases[i].scenario, file), file, catalogue);
    REQUIRE(scenario.serve.traffic.warm_up_requests == 0);
    const auto difference = [&](const char* metric) {
      return std::abs(
          at(scenario, metric, Resolution::analytic) / at(scenario, metric, Resolution::event) - 1);
    };
    ttft.push_back(difference("ttft_mean_s"));
    tpot.push_back(difference("tpot_mean_s"));
  }
  REQUIRE(ttft.size() > 300 / kStride);
  MESSAGE("TTFT: median " << quantile(ttft, 0.5) << ", P90 " << quantile(ttft, 0.9)
                          << "; TPOT: median " << quantile(tpot, 0.5) << ", P90 "
                          << quantile(tpot, 0.9));
  CHECK(quantile(ttft, 0.5) <= 0.03);
  CHECK(quantile(ttft, 0.9) <= 0.10);
  CHECK(quantile(tpot, 0.5) <= 0.02);
  CHECK(quantile(tpot, 0.9) <= 0.06);
}

TEST_CASE(
    "closed loop: a warm-up that is cut off leaves the steady loop, counted whole the start") {
  const hwmodels::Catalogue catalogue;
  Json json = parse_json(R"({"task": "serve", "model": "llama-3.1-70b", "precision": "fp8",
    "cluster": {"accelerator": "h100-sxm", "count": 8}, "parallelism": {"tp": 8},
    "stack": "vllm-0.11", "serve": {"traffic": {"kind": "closed", "concurrency": 32},
    "input_tokens": {"dist": "uniform", "low": 6553, "high": 8192},
    "output_tokens": {"dist": "uniform", "low": 819, "high": 1024}}})",
                         "test");
  const auto ttft = [&](const Json& traffic, Resolution resolution) {
    json["serve"]["traffic"].update(traffic);
    return at(reports::read_scenario(json, "test", catalogue), "ttft_mean_s", resolution);
  };
  const double whole = ttft({{"requests", 320}, {"warm_up_requests", 0}}, Resolution::event);
  const double cut = ttft({{"requests", 6400}, {"warm_up_requests", 640}}, Resolution::event);
  CHECK(whole > 1.8 * cut);
  CHECK(ttft({{"requests", 320}, {"warm_up_requests", 0}}, Resolution::analytic) ==
        doctest::Approx(whole).epsilon(0.05));
  CHECK(ttft({{"requests", 640000}, {"warm_up_requests", 0}}, Resolution::analytic) ==
        doctest::Approx(cut).epsilon(0.1));
  CHECK_THROWS_AS(ttft({{"requests", 320}, {"warm_up_requests", 320}}, Resolution::event), Error);
}
