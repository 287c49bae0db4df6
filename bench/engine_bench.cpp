// Cost per event: the engine against a bare priority queue with as many events pending, and the
// DeepSeek-V3 step. Ratios count, not seconds: run both in one run.
#include "jevons/sim/engine.hpp"
#include "jevons/sim/event_train.hpp"

#include <benchmark/benchmark.h>

#include <queue>
#include <random>
#include <vector>

using namespace jevons;
using namespace jevons::sim;

namespace {

// Pop the first, push one later: the hold model. Events as in the engine: time, sequence, payload.
void hold_loop(benchmark::State& state) {
  struct Event {
    double time;
    std::uint32_t sequence, payload;
    bool operator<(const Event& b) const {
      return time > b.time || (time == b.time && sequence > b.sequence);
    }
  };
  const auto pending = static_cast<std::uint32_t>(state.range(0));
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> step(0.5, 2.0);
  std::vector<double> steps(1U << 16U);
  for (auto& value : steps) {
    value = step(random);
  }
  std::vector<Event> storage;
  storage.reserve(pending + 1);
  std::priority_queue<Event> queue(std::less<Event>{}, std::move(storage));
  std::uint32_t sequence = 0;
  for (; sequence < pending; ++sequence) {
    queue.push({steps[sequence % steps.size()], sequence, sequence});
  }
  for (auto _ : state) {
    const auto event = queue.top();
    queue.pop();
    queue.push({event.time + steps[sequence % steps.size()], sequence, event.payload});
    ++sequence;
    benchmark::DoNotOptimize(event);
  }
  state.SetItemsProcessed(state.iterations());
}

// As many streams as events are pending, each with a chain of tasks.
void engine_chains(benchmark::State& state) {
  const auto streams = static_cast<std::uint32_t>(state.range(0));
  const std::uint32_t length = std::max(4U, 400'000U / streams);
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> step(0.5, 2.0);
  TaskGraph graph;
  for (std::uint32_t i = 0; i < streams; ++i) {
    graph.add_stream();
  }
  for (std::uint32_t j = 0; j < length; ++j) {
    for (std::uint32_t i = 0; i < streams; ++i) {
      graph.add_task(i, Seconds(step(random)));
    }
  }
  Engine engine(graph);
  for (auto _ : state) {
    benchmark::DoNotOptimize(engine.play().makespan_s);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(graph.tasks()));
}

// 16 stages, 120 micro-batches, 61 layers + MTP + head, a task per layer and pass.
TrainingPlan deepseek_v3(Schedule schedule) {
  TrainingPlan plan;
  plan.schedule = schedule;
  plan.ranks = 16;
  plan.micro_batches = 120;
  plan.p2p = Seconds(1e-3);
  plan.pair_overlap = 0.85;
  plan.held_units = 20;
  plan.compute_units = 132;
  PieceTimes layer;
  layer.forward.compute = Seconds(8.8e-3);
  layer.forward.ep.exposed = Seconds(3.4e-3);
  layer.backward_input.compute = Seconds(13.7e-3);
  layer.backward_input.ep.exposed = Seconds(3.4e-3);
  layer.backward_weight.compute = Seconds(7.0e-3);
  for (int stage = 0; stage < 16; ++stage) {
    StageTimes times;
    times.pieces.assign(stage == 15 ? 3 : 4, layer);
    times.gradient_reduce = times.parameter_gather = Seconds(0.05);
    times.optimizer_step = Seconds(0.02);
    plan.stages.push_back(times);
  }
  return plan;
}

void v3_step(benchmark::State& state, Schedule schedule) {
  const auto plan = deepseek_v3(schedule);
  EventOptions options;
  options.per_layer = true;
  std::size_t tasks = 0;
  for (auto _ : state) {
    const auto played = play_training(plan, options);
    tasks = played.labels.size();
  }
  state.counters["tasks"] = static_cast<double>(tasks);
}

// A plan put in time by the closed form, as searches do: no allocation.
void closed_form_v3(benchmark::State& state) {
  const auto plan = deepseek_v3(Schedule::dualpipe);
  for (auto _ : state) {
    benchmark::DoNotOptimize(closed_form(plan).step.raw());
  }
}

}  // namespace

BENCHMARK(hold_loop)->Arg(100)->Arg(10'000)->Arg(100'000);
BENCHMARK(engine_chains)->Arg(100)->Arg(10'000)->Arg(100'000);
BENCHMARK_CAPTURE(v3_step, dualpipe, Schedule::dualpipe)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(v3_step, one_f_one_b, Schedule::one_f_one_b)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(v3_step, zb_h1, Schedule::zb_h1)->Unit(benchmark::kMillisecond);
BENCHMARK(closed_form_v3);
BENCHMARK_MAIN();
