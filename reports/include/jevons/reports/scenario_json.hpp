// Scenario files (contract section 1): read, check, resolve; and write back resolved.
#pragma once

#include "jevons/core/json_reader.hpp"
#include "jevons/hwmodels/catalogue.hpp"
#include "jevons/sim/scenario.hpp"

#include <string>

namespace jevons::reports {

/// Reads and resolves a scenario. Every default taken and its source goes to `inputs`.
/// Throws Error(bad_input) with file, JSON pointer, what was read and what is allowed: malformed
/// values, unknown keys, a tp that does not divide the heads, a layout that does not multiply to
/// the count. `file` names the document in messages and anchors relative paths.
[[nodiscard]] sim::Scenario read_scenario(const Json& document, const std::string& file,
                                          const hwmodels::Catalogue& catalogue);

/// The fully resolved scenario; reading it back gives the same scenario.
[[nodiscard]] Json write_scenario(const sim::Scenario& scenario);

}  // namespace jevons::reports
