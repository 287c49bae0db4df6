#include "jevons/sim/memory.hpp"
#include "jevons/sim/pipeline.hpp"
#include "jevons/sim/timeline.hpp"

#include <algorithm>

namespace jevons::sim {
namespace {

void set_kept(StageTimes& stage, double bytes) {
  double pieces = 0;
  for (const auto& piece : stage.pieces) {
    pieces += static_cast<double>(piece.repeat);
  }
  for (auto& piece : stage.pieces) {
    piece.activation = Bytes(bytes / std::max(1.0, pieces));
  }
}

}  // namespace

void add_memory(const Scenario& scenario, TrainingPlan& plan) {
  const auto memory = training_memory(scenario);
  // A stage of DualPipe stands on two ranks, in two copies.
  const double copies = plan.schedule == Schedule::dualpipe ? 2 : 1;
  const double share = 1.0 / (static_cast<double>(plan.chunks) * copies);
  for (std::size_t i = 0; i < plan.stages.size(); ++i) {
    const auto rank = i % static_cast<std::size_t>(plan.ranks);
    const auto& of = memory.ranks[rank];
    auto& stage = plan.stages[i];
    stage.weights = share * of.weights;
    stage.gradients = share * of.gradients;
    stage.optimizer = share * of.optimizer;
    stage.buffers = share * (of.buffers + of.logits);
    const double flying =
        in_flight(plan.schedule, plan.ranks, plan.chunks, static_cast<double>(plan.micro_batches),
                  static_cast<long>(rank));
    set_kept(stage, of.activations.raw() / flying / static_cast<double>(plan.chunks));
  }
}

}  // namespace jevons::sim
