// The rows of tests/truth/conventions.json, read the way a scenario is: 1.1 % on FLOPs, the stated
// tolerance on parameters, and exact KV bytes.
#include "golden.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace jevons;
using namespace jevons::workloads;

namespace {

ModelConfig model_of(const Json& scenario) {
  const Json& name = scenario.at("model");
  if (name.is_object()) return model_from_config(name, "scenario", "/model");
  const std::string id = name.get<std::string>();
  if (!scenario.contains("model_overrides")) return model(id, "/model");
  return model(id, scenario.at("model_overrides"), "/model_overrides");
}

/// kv_cache of the precision object; bf16 where it is not named.
NumberFormat cache_format(const Json& scenario) {
  const Json& precision = scenario.at("precision");
  if (!precision.is_object() || !precision.contains("kv_cache")) return {Format::bf16, 0.0};
  const Json& cache = precision.at("kv_cache");
  return cache.is_number() ? NumberFormat{Format::bits, cache.get<double>()}
                           : format_from_string(cache.get<std::string>(), "precision");
}

void check(const std::string& metric, double measured, const ModelConfig& model,
           const Json& scenario) {
  const auto flops = [&] {
    const Json& train = scenario.at("train");
    const bool mtp = train.contains("mtp") ? train.at("mtp").get<bool>() : model.mtp_modules > 0;
    return training_flops_per_token(model, train.at("sequence_length").get<double>(), mtp);
  };
  double ours = 0.0, tolerance = 0.011;
  if (metric == "model_flops_per_token") {
    ours = flops().causal;
  } else if (metric == "model_flops_per_token_noncausal") {
    ours = flops().noncausal;
  } else if (metric == "kv_bytes_per_token") {
    ours = kv_bytes_per_token(model, cache_format(scenario));
    tolerance = 0.0;
  } else if (metric == "parameters_total") {
    ours = count(model).parameters_total;
    tolerance = 0.015;
  } else if (metric == "parameters_active") {
    const ModelCounts c = count(model);
    const double low = c.parameters_active, high = c.parameters_active_with_embedding;
    ours = std::abs(low - measured) < std::abs(high - measured) ? low : high;
    tolerance = 0.025;
  } else {
    FAIL("a metric this test does not know: " << metric);
  }
  CAPTURE(metric);
  CHECK(std::abs(ours / measured - 1) <= tolerance);
}

}  // namespace

TEST_CASE("conventions: every row of the truth file is met within its tolerance") {
  int rows = 0;
  const Json document = test_document("truth/conventions.json");
  for (const Json& row : document.at("cases")) {
    CAPTURE(row.at("id").get<std::string>());
    const Json& scenario = row.at("scenario");
    const ModelConfig model = model_of(scenario);
    for (const auto& [metric, measured] : row.at("measured").items()) {
      check(metric, measured.get<double>(), model, scenario);
      ++rows;
    }
  }
  CHECK(rows >= 37);
}
