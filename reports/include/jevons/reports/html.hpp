// One self-contained HTML file: works offline, without scripts, light and dark, and prints well.
// Strict content-security policy; every string that comes from outside is escaped.
#pragma once

#include "jevons/reports/validation.hpp"
#include "jevons/sim/result.hpp"

#include <span>
#include <string>
#include <string_view>

namespace jevons::reports {

struct HtmlOptions {
  std::string title;
  std::string command;  ///< reproduces the report
  std::string version;
};

[[nodiscard]] std::string results_to_html(std::span<const sim::Result> results,
                                          const HtmlOptions& options);
[[nodiscard]] std::string validation_to_html(const Validation& validation,
                                             const HtmlOptions& options);

/// &, <, >, " and ' replaced by entities.
[[nodiscard]] std::string escape_html(std::string_view text);

}  // namespace jevons::reports
