// The leave-one-group-out check for serving runs.
//
// Each group of the truth files, by stack and accelerator, is predicted with constants that its
// rows did not set: the fitted constants of its stack on which its rows depend are put back to
// stand-ins (the geometric mean of the other serving stacks in the rows) and fitted again (fit.hpp)
// on the other rows of the stack. A constant that no row left depends on keeps its stand-in, and so
// does a whole stack of one group. What all serving stacks share, and the constants of chips, stay
// as they ship.
#pragma once

#include "jevons/sim/fit.hpp"

namespace jevons::sim {

/// Samples must have the task serve. Deterministic for any number of threads.
[[nodiscard]] std::vector<CrossGroup> cross_validate_serving(std::span<const FitSample> samples,
                                                             const CrossOptions& options = {});

}  // namespace jevons::sim
