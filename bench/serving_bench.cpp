// Served requests per second of this program, 1,024 tokens in and out, every jump exact: one engine
// and pools, under Poisson arrivals at two thirds of their capacity and with all requests at once.
// Target: a million requests in ten seconds on one core, 1e5 items per second.
#include "jevons/core/json_reader.hpp"
#include "jevons/reports/scenario_json.hpp"
#include "jevons/sim/run.hpp"

#include <benchmark/benchmark.h>
#include <nlohmann/json.hpp>

#include <string>

using namespace jevons;

namespace {

constexpr long kRequests = 1000000;

sim::Scenario scenario(const std::string& traffic, bool pools) {
  const std::string mode =
      pools ? R"("mode": "disaggregated", "prefill": {"instances": 1, "accelerators": 1},
                 "decode": {"instances": 3, "accelerators": 1})"
            : R"("mode": "aggregated")";
  const std::string text = R"({"task": "serve", "model": "llama-3.1-8b", "precision": "bf16",
    "cluster": {"accelerator": "h100-sxm", "count": )" +
                           std::string(pools ? "4" : "1") + R"(}, "serve": {"input_tokens": 1024,
    "output_tokens": 1024, "traffic": {)" +
                           traffic + R"(, "requests": )" + std::to_string(kRequests) + "}, " +
                           mode + "}}";
  return reports::read_scenario(parse_json(text, "bench"), "bench", hwmodels::Catalogue{});
}

void served(benchmark::State& state, const std::string& traffic, bool pools) {
  const sim::Scenario s = scenario(traffic, pools);
  for (auto _ : state) benchmark::DoNotOptimize(sim::run(s));
  state.SetItemsProcessed(state.iterations() * kRequests);
}

const std::string kOffline = R"("kind": "offline")";

BENCHMARK_CAPTURE(served, engine_poisson, R"("kind": "poisson", "requests_per_s": 5)", false)
    ->Unit(benchmark::kSecond);
BENCHMARK_CAPTURE(served, engine_offline, kOffline, false)->Unit(benchmark::kSecond);
BENCHMARK_CAPTURE(served, pools_poisson, R"("kind": "poisson", "requests_per_s": 20)", true)
    ->Unit(benchmark::kSecond);
BENCHMARK_CAPTURE(served, pools_offline, kOffline, true)->Unit(benchmark::kSecond);

}  // namespace

BENCHMARK_MAIN();
