// The one door of the simulator: a scenario goes in, a result comes out.
#pragma once

#include "jevons/sim/result.hpp"
#include "jevons/sim/scenario.hpp"

namespace jevons::sim {

/// How closely to look. `automatic` is the answer a person reads: events, but the closed form for
/// closed loops, where it is nearer to measured times to first token (its run starts cold, as
/// benchmark harnesses do).
enum class Resolution { automatic, analytic, event };

struct RunOptions {
  Resolution resolution = Resolution::automatic;
  /// Training on events: every pipeline rank of every replica instead of one replica for all.
  bool full_cluster = false;
  /// With full_cluster: standard deviation of the chips' speeds, drawn from the scenario's seed.
  double speed_spread = 0;
  /// Serving: what the power model takes the work per second times. Calibration of power constants
  /// gives measured over predicted throughput, so that they do not make up for an error of time.
  double activity_scale = 1;
};

/// Throws Error. "Does not fit" is not an error: `infeasible` of the result says so.
[[nodiscard]] Result run(const Scenario& scenario, const RunOptions& options = {});

// One file each; run() picks by task.
[[nodiscard]] Result run_train(const Scenario& scenario, const RunOptions& options);
[[nodiscard]] Result run_serve(const Scenario& scenario, const RunOptions& options);
[[nodiscard]] Result run_op(const Scenario& scenario, const RunOptions& options);

}  // namespace jevons::sim
