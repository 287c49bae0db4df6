// From a costed step to the metrics, breakdown and money of the contract.
#pragma once

#include "jevons/sim/memory.hpp"
#include "jevons/sim/result.hpp"
#include "jevons/sim/training.hpp"

namespace jevons::sim::detail {

void add_step_metrics(const Scenario& scenario, const TrainingPlanReport& report,
                      const TrainingTime& time, Result& result);
void add_memory_metrics(const Scenario& scenario, const TrainingMemory& memory, Result& result);
/// `chip`: watts of an accelerator; none known: energy is left out with a warning.
void add_run_metrics(const Scenario& scenario, const TrainingTime& time, std::optional<Watts> chip,
                     Result& result);
void add_step_breakdown(const TrainingPlanReport& report, const TrainingTime& time, Result& result);

}  // namespace jevons::sim::detail
