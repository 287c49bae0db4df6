// Building and playing the same random graph on the engine and on SimGrid, in one run.
#include "random_graph.hpp"
#include "simgrid_graph.hpp"

#include <benchmark/benchmark.h>

using namespace jevons;

namespace {

constexpr std::uint32_t kHosts = 64;

bench::RandomGraph graph_of(const benchmark::State& state) {
  return bench::random_graph(5, kHosts, static_cast<std::uint32_t>(state.range(0)),
                             static_cast<double>(state.range(1)));
}

void engine(benchmark::State& state) {
  const auto graph = graph_of(state);
  for (auto _ : state) {
    sim::Engine engine(bench::to_task_graph(graph));
    benchmark::DoNotOptimize(engine.play().makespan_s);
  }
  state.SetItemsProcessed(state.iterations() *
                          static_cast<std::int64_t>(graph.tasks.size() + graph.transfers.size()));
}

void simgrid(benchmark::State& state) {
  const auto graph = graph_of(state);
  static bench::SimGridPlatform platform(graph);  // its cost is not counted
  for (auto _ : state) {
    benchmark::DoNotOptimize(platform.play(graph));
  }
  state.SetItemsProcessed(state.iterations() *
                          static_cast<std::int64_t>(graph.tasks.size() + graph.transfers.size()));
}

}  // namespace

BENCHMARK(engine)->Args({10'000, 0})->Args({10'000, 1})->Unit(benchmark::kMillisecond);
BENCHMARK(simgrid)->Args({10'000, 0})->Args({10'000, 1})->Unit(benchmark::kMillisecond);
BENCHMARK_MAIN();
