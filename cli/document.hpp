// From the command line to a scenario document: defaults < file < flags < --set.
#pragma once

#include "options.hpp"

#include "jevons/core/json_reader.hpp"
#include "jevons/hwmodels/catalogue.hpp"
#include "jevons/sim/run.hpp"
#include "jevons/sim/scenario.hpp"

#include <string>
#include <string_view>

namespace jevons::cli {

/// Reads a file, or standard input for "-".
[[nodiscard]] std::string read_input(const std::string& path);
/// Whether a positional argument is a file (or -) rather than a preset id.
[[nodiscard]] bool names_file(std::string_view argument);

/// The scenario of a verb: `task` is what it must be; empty lets the file say it.
[[nodiscard]] Json scenario_document(const Options& options, std::string_view task,
                                     std::string& file);
/// Sets a dotted path ("train.mtp", "train.recompute.0"); creates objects on the way. Throws
/// Error(usage) when the path leads through a value.
void set_path(Json& document, std::string_view path, Json value);

/// --event, --analytic, else what the task takes by itself.
[[nodiscard]] sim::Resolution resolution_of(const Options& options);
/// Reads and resolves; an error at a key that a flag gave names the flag.
[[nodiscard]] sim::Scenario resolve(const Json& document, const std::string& file,
                                    const Options& options, const hwmodels::Catalogue& catalogue);

}  // namespace jevons::cli
