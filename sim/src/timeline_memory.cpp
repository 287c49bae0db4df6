#include "jevons/sim/memory.hpp"
#include "jevons/sim/timeline.hpp"

namespace jevons::sim {

void add_memory(const Scenario& scenario, TrainingPlan& plan) {
  const auto layouts = stage_layout(scenario);
  for (std::size_t i = 0; i < plan.stages.size(); ++i) {
    const StageFootprint footprint = stage_footprint(scenario, layouts[i]);
    plan.stages[i].resident = footprint.resident.total();
    plan.stages[i].kept = footprint.kept;
  }
  plan.rank_buffers = rank_buffers(scenario);
  plan.memory_factor = scenario.stack.at("memory_cache_factor");
}

}  // namespace jevons::sim
