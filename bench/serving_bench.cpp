// Served requests per second of this program, 1,024 tokens in and out, every jump exact: one engine
// and pools, under Poisson arrivals at two thirds of their capacity and with all requests at once.
// Target: a million requests in ten seconds on one core, 1e5 items per second.
#include "jevons/hwmodels/catalogue.hpp"
#include "jevons/sim/run.hpp"

#include <benchmark/benchmark.h>

using namespace jevons;

namespace {

sim::Length tokens(double count) {
  return {.kind = sim::Length::Kind::fixed, .mean = count, .low = count, .high = count};
}

sim::Scenario scenario(const sim::Traffic& traffic, long decode_instances) {
  const hwmodels::Catalogue catalogue;
  sim::Scenario s;
  s.task = sim::Task::serve;
  s.model = workloads::model("llama-3.1-8b", "bench");
  s.stack = catalogue.stack("vllm-0.18", "bench");
  s.serve.traffic = traffic;
  s.serve.traffic.requests = 1e6;
  s.serve.input_tokens = s.serve.output_tokens = tokens(1024);
  if (decode_instances > 0) {
    s.serve.mode = sim::ServeMode::disaggregated;
    s.serve.prefill = sim::Pool{};
    s.serve.decode = sim::Pool{};
    s.serve.decode->instances = static_cast<double>(decode_instances);
  }
  s.cluster = hwmodels::make_cluster(catalogue.accelerator("h100-sxm", "bench"),
                                     1 + decode_instances, {}, "bench");
  return s;
}

sim::Traffic poisson(double requests_per_s) {
  sim::Traffic traffic;
  traffic.kind = sim::Traffic::Kind::poisson;
  traffic.requests_per_s = requests_per_s;
  return traffic;
}

sim::Traffic offline() {
  sim::Traffic traffic;
  traffic.kind = sim::Traffic::Kind::offline;
  return traffic;
}

void served(benchmark::State& state, const sim::Traffic& traffic, long decode_instances) {
  const sim::Scenario s = scenario(traffic, decode_instances);
  for (auto _ : state) benchmark::DoNotOptimize(sim::run(s));
  state.SetItemsProcessed(state.iterations() * 1000000);
}

BENCHMARK_CAPTURE(served, engine_poisson, poisson(5), 0)->Unit(benchmark::kSecond);
BENCHMARK_CAPTURE(served, engine_offline, offline(), 0)->Unit(benchmark::kSecond);
BENCHMARK_CAPTURE(served, pools_poisson, poisson(20), 3)->Unit(benchmark::kSecond);
BENCHMARK_CAPTURE(served, pools_offline, offline(), 3)->Unit(benchmark::kSecond);

}  // namespace

BENCHMARK_MAIN();
