// A training step from scenario to plan, and the closed form that puts the plan in time.
//
// step = pipeline (pipeline.hpp) + exposed data parallelism + optimizer + host
//   gradient reduce R, parameter gather A of a stage with forward F and backward B per micro-batch:
//   exposed max(R − o B, (1 − o) R) + max(A − o F, (1 − o) A),  o the stack's dp_overlap
//   FSDP, per layer and pass: gather G (and reduce R in the backward) run beside compute C and slow
//   it: max(0, G + R − C) + c min(G + R, C), c the stack's fsdp_contention
//   optimizer: memory traffic of the sharded update; host: per micro-batch and per step
// Source: closed form tried on 954 measured steps. Known error: see docs and `jevons validate`.
#pragma once

#include "jevons/sim/result.hpp"
#include "jevons/sim/training_plan.hpp"

#include <array>
#include <string>
#include <vector>

namespace jevons::sim {

/// What a micro-batch costs on one model stage, by kind of work, nothing hidden; for reports.
struct StageKinds {
  std::vector<std::pair<std::string, double>> seconds;
};

struct TrainingPlanReport {
  TrainingPlan plan;
  std::vector<StageKinds> kinds;  ///< one a stage
  std::vector<OperatorRow> operators;
  double recompute_flops_per_token = 0;
  double rank_flops = 0, rank_bytes = 0;  ///< per step, mean over the ranks
};

/// Throws Error(bad_input) when a figure is missing or the layout has more stages than layers.
[[nodiscard]] TrainingPlan plan_training(const Scenario& scenario);
/// The same with what reports show.
[[nodiscard]] TrainingPlanReport plan_training_with_report(const Scenario& scenario);

struct TrainingTime {
  Seconds step, pipeline_busy, bubble, p2p, data_parallel, optimizer, host;
  Seconds exposed_comm;     ///< tensor, context, expert, FSDP inside the busy time
  Seconds host_bound;       ///< the GPU waits for launches, inside the busy time
  std::size_t slowest = 0;  ///< pipeline rank
  double pairs = 0, lone_passes = 0;
  Seconds lone_forward, lone_backward, pair, weight;  ///< of the slowest rank
};

/// Closed form. Allocates nothing once a thread has seen a plan with as many ranks.
[[nodiscard]] TrainingTime closed_form(const TrainingPlan& plan);

}  // namespace jevons::sim
