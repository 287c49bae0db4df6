// From a costed step to the metrics, breakdown and money of the contract.
#pragma once

#include "jevons/sim/memory.hpp"
#include "jevons/sim/result.hpp"
#include "jevons/sim/training.hpp"

#include <optional>
#include <string>
#include <vector>

namespace jevons::sim::detail {

void add_step_metrics(const Scenario& scenario, const TrainingPlanReport& report,
                      const TrainingTime& time, Result& result);
void add_memory_metrics(const Scenario& scenario, const TrainingMemory& memory, Result& result);
/// Watts and joules of the step; none known: left out with a warning.
void add_power_metrics(const Scenario& scenario, const TrainingTime& time,
                       std::optional<Watts> chip, Result& result);
/// A part of the run that is trained alike.
struct RunPart {
  std::string name;
  double tokens = 0, tokens_per_s = 0;
  std::optional<Watts> chip;
};
/// Hours, dollars and energy of the whole run; its parts in the breakdown when there are several.
/// `play_failures`: one run with its failures drawn from the seed instead of their expectation.
void add_run_metrics(const Scenario& scenario, const std::vector<RunPart>& parts,
                     bool play_failures, Result& result);
void add_step_breakdown(const TrainingPlanReport& report, const TrainingTime& time, Result& result);

}  // namespace jevons::sim::detail
