// Reads a scenario, runs it, and checks one number.
#include "jevons/reports/scenario_json.hpp"
#include "jevons/sim/run.hpp"

#include <nlohmann/json.hpp>

#include <cstdio>

int main() {
  const jevons::Json document = jevons::parse_json(R"({
    "task": "op", "cluster": {"accelerator": "h100-sxm", "count": 1}, "precision": "bf16",
    "op": {"kind": "gemm", "m": 4096, "n": 4096, "k": 4096}})",
                                                   "consumer");
  const jevons::hwmodels::Catalogue catalogue;
  const auto result =
      jevons::sim::run(jevons::reports::read_scenario(document, "consumer", catalogue));
  const double time = result.metrics.number("time_s").value_or(0);
  std::printf("a 4096 x 4096 x 4096 GEMM on one H100 takes %.0f us\n", time * 1e6);
  // 2 * 4096^3 FLOPs at the dense peak of 989 TFLOP/s take 139 us: no real kernel is faster.
  return time > 139e-6 && time < 400e-6 ? 0 : 1;
}
