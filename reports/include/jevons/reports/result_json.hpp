// A result as `jevons.result/1` JSON (contract section 2).
#pragma once

#include "jevons/core/json_reader.hpp"
#include "jevons/hwmodels/catalogue.hpp"
#include "jevons/sim/result.hpp"

#include <string>
#include <string_view>

namespace jevons::reports {

/// No NaN or Infinity is written: such a metric becomes null and a warning says why.
/// `inputs_sha256` is the SHA-256 of `inputs` as compact JSON in the order written. A breakdown
/// part is {"value", "unit", "formula"?, "parts"?}; the operators that were costed are the array
/// breakdown.operators. Provenance entries that the scenario left
/// out carry "taken_by_default": true. `infeasible` is present only when the job cannot run.
[[nodiscard]] Json result_to_json(const sim::Result& result, std::string_view version);

/// Reads a saved result. The defaults taken come back as `scenario.inputs`. Throws
/// Error(bad_input) with file and pointer.
[[nodiscard]] sim::Result result_from_json(const Json& document, const std::string& file,
                                           const hwmodels::Catalogue& catalogue);

}  // namespace jevons::reports
