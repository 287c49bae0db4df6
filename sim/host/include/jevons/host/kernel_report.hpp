// A kernel report as JSON (schema jevons.kernels/1), as a page and as a table.
#pragma once

#include "jevons/core/json_reader.hpp"
#include "jevons/host/kernel_cases.hpp"

#include <string>

namespace jevons::host {

[[nodiscard]] Json report_json(const KernelReport& report);
/// One file without scripts.
[[nodiscard]] std::string report_html(const KernelReport& report);
[[nodiscard]] std::string report_table(const KernelReport& report);

}  // namespace jevons::host
