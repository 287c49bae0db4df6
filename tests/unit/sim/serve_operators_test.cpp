#include "jevons/reports/scenario_json.hpp"
#include "jevons/sim/run.hpp"
#include "jevons/workloads/model.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

using namespace jevons;

TEST_CASE(
    "serving: the listed decode operators do the matmuls and attention of one token a sequence") {
  const Json document = parse_json(R"({
    "task": "serve", "model": "llama-3.1-8b", "cluster": {"accelerator": "h100-sxm", "count": 1},
    "precision": "bf16", "stack": "ideal",
    "serve": {"mode": "static", "traffic": {"kind": "static", "batch": 16}, "input_tokens": 1000,
              "output_tokens": 100}})",
                                   "test");
  const hwmodels::Catalogue catalogue;
  const sim::Result result = sim::run(reports::read_scenario(document, "test", catalogue));
  double flops = 0;
  for (const sim::OperatorRow& row : result.operators) {
    if (row.phase == "decode") flops += row.calls * row.flops;
  }
  const auto counts = workloads::count(workloads::model("llama-3.1-8b", "test"));
  // 2 N_mm for the matmuls and 4 h e S in each of 32 layers, S about 1,050 keys.
  const double expected = 16 * (2 * counts.matmul_parameters + 32.0 * 4 * 32 * 128 * 1050);
  CHECK(flops / expected > 0.98);
  CHECK(flops / expected < 1.03);  // norms, rotary and softmax come on top
}
