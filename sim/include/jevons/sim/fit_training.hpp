// The leave-one-group-out check for training steps.
//
// Each group of the truth files, by stack and accelerator, is predicted with constants that its
// rows did not set: the fitted constants of its stack and the training constants of its chip's
// generation are put back to stand-ins and fitted again (fit.hpp) on the other rows of the stack,
// of stacks that take constants from it or with it, and of the generation. A constant that no row
// left depends on keeps its stand-in: what all training stacks start from; for a generation the
// geometric mean of the vendor's others in the rows, generic where there is none. Constants of
// other stacks, those that all training stacks share, and the kernel constants (set by operator
// tables, not by steps) stay as they ship.
#pragma once

#include "jevons/sim/fit.hpp"

namespace jevons::sim {

/// A stack's fitted constants with their scopes: `initial` is the stand-in and may be zero.
using StackConstants = std::function<std::vector<FitConstant>(const hwmodels::Stack&)>;

/// Samples must have the task train. Deterministic for any number of threads.
[[nodiscard]] std::vector<CrossGroup> cross_validate_training(std::span<const FitSample> samples,
                                                              const ClassConstants& class_constants,
                                                              const StackConstants& stack_constants,
                                                              const CrossOptions& options = {});

}  // namespace jevons::sim
