// What the terminal and the page say of a plan alike. Private to reports.
#pragma once

#include "jevons/sim/plan_serve.hpp"

#include <span>
#include <string>
#include <vector>

namespace jevons::reports {

inline const std::vector<std::string> kPlanHead{"layout", "precision", "users/inst.", "chips",
                                                "TTFT",   "TPOT",      "tok/s/user",  "tok/s/chip",
                                                "tok/J",  "$/Mtok out"};
inline constexpr std::size_t kPlanTextColumns = 2;
[[nodiscard]] std::vector<std::string> plan_cells(const sim::ServePlan& plan);

/// Axes that hold all plans: about four steps, each one, two or five times a power of ten.
struct PlanAxes {
  double user = 1, user_step = 1, chip = 1, chip_step = 1;
};
[[nodiscard]] PlanAxes plan_axes(std::span<const sim::ServePlan> plans);

}  // namespace jevons::reports
