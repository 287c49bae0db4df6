// Calibration and the leave-one-group-out check on truth files: `jevons fit` and
// `jevons validate --cross`.
#pragma once

#include "jevons/core/json_reader.hpp"
#include "jevons/hwmodels/catalogue.hpp"
#include "jevons/reports/validation.hpp"
#include "jevons/sim/fit.hpp"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace jevons::reports {

/// Operator or training rows of truth files with their resolved scenarios. Power readings are left
/// out: the constants fitted here are of time.
struct FitInput {
  std::vector<std::unique_ptr<sim::Scenario>> scenarios;
  std::vector<sim::FitSample> samples;
  std::vector<std::string> refused;  ///< "id: reason" of rows that cannot run
};
/// Rows of other tasks are passed over. Throws Error(bad_input) when no operator is left.
[[nodiscard]] FitInput fit_input(std::span<const TruthCase> cases,
                                 const hwmodels::Catalogue& catalogue);
/// The same of training steps; may be empty.
[[nodiscard]] FitInput training_input(std::span<const TruthCase> cases,
                                      const hwmodels::Catalogue& catalogue);

struct FitRequest {
  std::string accelerator;             ///< preset id or SKU file to be calibrated
  std::vector<std::string> constants;  ///< names; empty: the eight that lower the error most
  sim::FitOptions options;
};
/// Most constants a SKU file may give of its own.
inline constexpr std::size_t kMostOwnConstants = 8;

/// Fits constants of one SKU on the rows of that SKU (of its id). Throws Error(bad_input) on more
/// than eight constants, unknown names (with the nearest) and when no row is of this SKU.
[[nodiscard]] sim::FitResult fit_accelerator(const FitRequest& request, const FitInput& input,
                                             const hwmodels::Catalogue& catalogue);

/// The SKU file `sku` (parsed) with the fitted constants in it; each one's source names the rows.
[[nodiscard]] Json fitted_sku(const Json& sku, const sim::FitResult& result, const FitInput& input,
                              const std::string& rows_from);
[[nodiscard]] std::string fit_to_text(const sim::FitResult& result);

/// Errors of groups left out, as a scoreboard.
[[nodiscard]] Validation scoreboard_of(const std::vector<sim::CrossGroup>& groups,
                                       const FitInput& input);

/// Leaves every group out once and predicts it with constants that its rows did not set
/// (sim/fit.hpp); the errors as a scoreboard. Takes some ten seconds for a thousand rows.
[[nodiscard]] Validation cross_validation(const FitInput& input,
                                          const hwmodels::Catalogue& catalogue,
                                          const sim::CrossOptions& options = {});

/// The same for training steps (sim/fit_training.hpp), by the closed form. Takes some minutes for a
/// thousand rows.
[[nodiscard]] Validation training_cross_validation(const FitInput& input,
                                                   const hwmodels::Catalogue& catalogue,
                                                   const sim::CrossOptions& options = {});

}  // namespace jevons::reports
