// Calibration on serving rows: constants of a stack on times and rates, those of a chip's power on
// watts (`jevons fit --stack ID`, `jevons fit --hw SKU --metric power_w_per_accelerator`), and the
// leave-one-group-out check of the former (`jevons validate --cross` on serving rows).
#pragma once

#include "jevons/reports/fit_report.hpp"

namespace jevons::reports {

/// Every serving stack (accelerator) at once: a constant they share.
inline constexpr const char* kAll = "*";

/// Serving rows of truth files. A row of watts brings its measured
/// output tokens/s, so that power constants do not make up for an error of time. Metrics: prefixes,
/// empty: every one that can be fitted but watts. Throws Error(bad_input) when no row is left.
[[nodiscard]] FitInput serving_fit_input(std::span<const TruthCase> cases,
                                         const hwmodels::Catalogue& catalogue,
                                         const std::vector<std::string>& metrics);

/// Constants of one stack and its variants, or of all that have none of their own, on their rows;
/// no names: those of the step's overhead.
[[nodiscard]] sim::FitResult fit_stack(const std::string& stack,
                                       const std::vector<std::string>& constants,
                                       const FitInput& input, const sim::FitOptions& options = {});

/// Constants of one SKU on its rows; no names: the power constants that the rows' formats use.
[[nodiscard]] sim::FitResult fit_power(const std::string& accelerator,
                                       const std::vector<std::string>& constants,
                                       const FitInput& input, const sim::FitOptions& options = {});

/// The stack or SKU file `document` with the fitted constants in it.
[[nodiscard]] Json fitted_document(const Json& document, const sim::FitResult& result,
                                   const std::string& rows_from);

/// Leaves every group of rows (of one SKU under one stack) out once and predicts it with the
/// stack's constants fitted to its other rows (sim/fit_serving.hpp); the errors as a scoreboard.
/// Takes a minute for five hundred rows.
[[nodiscard]] Validation serving_cross_validation(const FitInput& input,
                                                  const sim::CrossOptions& options = {});

}  // namespace jevons::reports
