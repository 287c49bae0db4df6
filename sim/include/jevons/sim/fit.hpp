// Calibration: robust least squares of named kernel constants on measured operators.
//
//   minimise  sum_i rho(log(predicted_i / measured_i)) + sum_j (log(c_j / c0_j) / sigma)^2
//   rho(r) = c^2 (sqrt(1 + (r/c)^2) - 1): quadratic for small errors, linear for outliers
//
// Levenberg-Marquardt in the logarithm of the constants with numeric derivatives and bounds. The
// second sum keeps a constant that no row determines at its starting value.
#pragma once

#include "jevons/sim/scenario.hpp"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace jevons::sim {

/// One measured operator. `scenario` must outlive the fit and have the task op.
struct FitSample {
  std::string id;
  const Scenario* scenario = nullptr;
  std::string metric;  ///< "time_s", "achieved_flops_per_s" or "achieved_bytes_per_s"
  double measured = 0;
};

/// A constant to be fitted, and whose it is.
struct FitConstant {
  std::string name;
  std::string scope;   ///< accelerator id or generation; empty: all samples
  double initial = 0;  ///< greater than zero
  double low = 0, high = 0;
};

struct FitOptions {
  double outlier = 0.08;  ///< c: log error from which a row counts as an outlier
  double prior = 0.5;     ///< sigma: log change a constant may make for one unit of cost
  int most_iterations = 25;
};

struct FittedConstant {
  std::string name, scope;
  double before = 0, after = 0;
  long rows = 0;  ///< samples whose prediction moves with it
  bool at_bound = false;
};

struct FitResult {
  std::vector<FittedConstant> constants;
  double median_before = 0, median_after = 0;  ///< absolute relative error
  int iterations = 0;
};

/// Throws Error(bad_input) when there is nothing to fit or a constant is not positive.
[[nodiscard]] FitResult fit(std::span<const FitSample> samples,
                            std::span<const FitConstant> constants, const FitOptions& options = {});

/// Predicted over measured minus one of every sample, with constants replaced.
[[nodiscard]] std::vector<double> errors_with(std::span<const FitSample> samples,
                                              std::span<const FittedConstant> constants);

/// Constants that bear on the samples of one accelerator: name and value of the chip's chain with
/// bounds of a factor of four. `prefix` picks a family ("gemm.", "moe."); empty: all.
[[nodiscard]] std::vector<FitConstant> fittable_constants(std::span<const FitSample> samples,
                                                          const std::string& accelerator,
                                                          const std::string& prefix);

/// The leave-one-group-out check: each (operator kind, accelerator) group is predicted with
/// constants that its rows did not set. The family of the group's constants falls back to the
/// nearest measured generation of the same kind of chip and is fitted again on the rows of the same
/// generation that are left (other accelerators).
struct CrossGroup {
  std::string kind, accelerator, donor;  ///< donor: whose constants stood in; empty: generic
  std::vector<std::size_t> samples;
  std::vector<double> errors;
  long rows_left = 0;  ///< rows of other accelerators that took part in the new fit
};
struct CrossResult {
  std::vector<CrossGroup> groups;
};
/// `class_constants`: constants of a generation as the catalogue has them (class and generic).
using ClassConstants = std::function<hwmodels::Constants(const std::string& generation)>;
[[nodiscard]] CrossResult cross_validate(std::span<const FitSample> samples,
                                         const ClassConstants& class_constants,
                                         const FitOptions& options = {});

}  // namespace jevons::sim
