// What happened when, for a trace viewer: slices on tracks, arrows between them, counters.
#pragma once

#include "jevons/sim/event_train.hpp"

#include <string>
#include <utility>
#include <vector>

namespace jevons::sim {

struct Trace {
  struct Process {
    std::string name;
    std::vector<std::string> tracks;  ///< slices of one track never overlap
  };
  struct Argument {
    std::string name;
    double value = 0;
  };
  struct Slice {
    std::uint32_t process = 0, track = 0;
    double start_s = 0, end_s = 0;
    std::string name, category;
    std::vector<Argument> arguments;
  };
  /// From a moment inside one slice to the start of another.
  struct Flow {
    std::uint32_t from_process = 0, from_track = 0, to_process = 0, to_track = 0;
    double from_s = 0, to_s = 0;
    std::string name;
  };
  struct Counter {
    std::uint32_t process = 0;
    std::string name;  ///< with its unit, "memory_bytes"
    std::vector<Sample> samples;
  };
  std::vector<Process> processes;
  std::vector<Slice> slices;
  std::vector<Flow> flows;
  std::vector<Counter> counters;
};

/// Fills the plan's memory: what is resident, and what each micro-batch keeps, as training_memory()
/// counts them.
void add_memory(const Scenario& scenario, TrainingPlan& plan);

/// Watts of a chip of every rank, in equal parts of the step; empty where the SKU has no power
/// figure. A chip that waits spins in its communication kernel at full clock: it draws the base of
/// the power model, not its idle watts.
[[nodiscard]] std::vector<std::vector<Sample>> chip_power_over_time(const Scenario& scenario,
                                                                    const TrainingTimeline& played);

/// One training step, a task per layer and pass; a process per pipeline rank, a track per stream;
/// memory and chip power as counters (power where the SKU gives what it takes).
[[nodiscard]] Trace trace_training(const Scenario& scenario);

}  // namespace jevons::sim
