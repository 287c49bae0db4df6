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
#include <string_view>
#include <vector>

namespace jevons::sim {

/// One measured operator, training step or serving run. `scenario` must outlive the fit.
struct FitSample {
  std::string id;
  const Scenario* scenario = nullptr;
  std::string metric;  ///< see fittable_metric()
  double measured = 0;
  std::string group;  ///< of the truth file; for cross_validate()
  /// Serving, power: measured output tokens/s of the row; 0: the predicted ones are taken.
  double output_rate = 0;
};

/// Operators: "time_s", "achieved_flops_per_s", "achieved_bytes_per_s"; training steps:
/// "step_time_s", "tokens_per_s", "tokens_per_s_per_accelerator"; serving: "tpot_...", "ttft_...",
/// "output_tokens_per_s...", "input_...", "total_...", "power_w_per_accelerator".
[[nodiscard]] bool fittable_metric(Task task, std::string_view metric);

/// Scope of a stack's constant: this and the id of the stack whose file gives it, which bears on
/// every training stack that takes it from there; in serving that of the stack's family (the stack
/// it is a variant of, or its own), or "*": every stack without its own.
inline const std::string kStackScope = "stack ";
[[nodiscard]] bool stack_gives(const hwmodels::Stack& stack, const std::string& name,
                               const std::string& scope);

/// Id of the serving stack that this one is a variant of, or its own.
[[nodiscard]] const std::string& serving_family(const hwmodels::Stack& stack);

/// A constant to be fitted, and whose it is.
struct FitConstant {
  std::string name;
  std::string scope;   ///< accelerator id, generation or kStackScope + stack; empty: all samples
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

/// What cross_validate() leaves out at once.
enum class CrossUnit {
  truth_group,   ///< one group of the truth files: operator kind with its precision, on one SKU
  kind_and_chip  ///< every row of one operator kind on one SKU, whatever the precision
};

/// The leave-one-group-out check: each group is predicted with constants that its rows did not set.
/// The whole family of constants of the chip's generation is replaced by stand-ins (geometric mean
/// of the other measured generations, generic where none has it) and fitted again, with the prior
/// at the stand-ins, on the rows of the generation that are left. What nothing else determines
/// stays at the stand-in.
struct CrossGroup {
  std::string name, accelerator;
  std::vector<std::size_t> samples;
  std::vector<double> errors;
  long rows_left = 0;  ///< rows that took part in the new fit
};

struct CrossOptions {
  CrossUnit unit = CrossUnit::truth_group;
  FitOptions fit;
  unsigned threads = 0;  ///< 0: all cores
};

/// A class's own constants and the generic ones under them.
using ClassConstants = std::function<hwmodels::Constants(const std::string& generation)>;

/// Deterministic for any number of threads.
[[nodiscard]] std::vector<CrossGroup> cross_validate(std::span<const FitSample> samples,
                                                     const ClassConstants& class_constants,
                                                     const CrossOptions& options = {});

}  // namespace jevons::sim
