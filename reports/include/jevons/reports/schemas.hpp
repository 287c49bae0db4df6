// The JSON Schemas of every file format, compiled in.
#pragma once

#include "jevons/core/embedded.hpp"

#include <string>
#include <vector>

namespace jevons::reports {

/// "scenario", "result", "truth", "validation", "hardware", "class", "stack", "model".
[[nodiscard]] std::vector<std::string> schema_names();
/// The schema's text. Throws Error(bad_input) with the nearest names.
[[nodiscard]] std::string_view schema(std::string_view name);

}  // namespace jevons::reports
