// The one door of the simulator: a scenario goes in, a result comes out.
#pragma once

#include "jevons/sim/result.hpp"
#include "jevons/sim/scenario.hpp"

namespace jevons::sim {

enum class Resolution { analytic, event };

struct RunOptions {
  Resolution resolution = Resolution::analytic;
};

/// Throws Error. "Does not fit" is not an error: `infeasible` of the result says so.
[[nodiscard]] Result run(const Scenario& scenario, const RunOptions& options = {});

// One file each; run() picks by task.
[[nodiscard]] Result run_train(const Scenario& scenario, const RunOptions& options);
[[nodiscard]] Result run_serve(const Scenario& scenario, const RunOptions& options);
[[nodiscard]] Result run_op(const Scenario& scenario, const RunOptions& options);

}  // namespace jevons::sim
