// Parts of the scenario section `serve`. Private to reports.
#pragma once

#include "scenario_parts.hpp"

namespace jevons::reports {

[[nodiscard]] sim::Length read_length(ScenarioReader& in, ObjectReader& serve,
                                      std::string_view key);
[[nodiscard]] sim::Traffic read_traffic(ScenarioReader& in, ObjectReader& serve);
[[nodiscard]] Json write_length(const sim::Length& length);
[[nodiscard]] Json write_traffic(const sim::Traffic& traffic);

}  // namespace jevons::reports
