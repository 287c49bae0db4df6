// What `plan serve` found: tables, and the Pareto of tok/s/user against tok/s/accelerator drawn.
#pragma once

#include "jevons/reports/html.hpp"
#include "jevons/sim/plan_serve.hpp"

#include <string>
#include <string_view>

namespace jevons::reports {

/// For a terminal; the picture in characters.
[[nodiscard]] std::string planning_to_text(const sim::ServePlanning& planning,
                                           std::string_view objective);
/// A self-contained page; the picture as inline SVG, its numbers in the table below it.
[[nodiscard]] std::string planning_to_html(const sim::ServePlanning& planning,
                                           std::string_view objective, const HtmlOptions& options);

}  // namespace jevons::reports
