#include "plan_parts.hpp"

#include "jevons/reports/format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace jevons::reports {

std::vector<std::string> plan_cells(const sim::ServePlan& plan) {
  const auto& p = plan.parallelism;
  std::string layout = fmt::format("tp{} pp{} dp{} ep{}", p.tp, p.pp, p.dp, p.ep);
  if (plan.attention_dp) layout += " attention-dp";
  return {layout,
          plan.precision.preset,
          fmt::format("{:g}", plan.concurrency),
          fmt::format("{} ({:g} x {})", plan.accelerators, plan.instances,
                      plan.accelerators_per_instance),
          format_seconds(plan.ttft_s),
          format_seconds(plan.tpot_s),
          fmt::format("{:.1f}", plan.tokens_per_s_per_user),
          fmt::format("{:.0f}", plan.output_tokens_per_s_per_accelerator),
          fmt::format("{:.3g}", plan.tokens_per_joule),
          plan.usd_per_mtok_output ? format_usd(*plan.usd_per_mtok_output) : "-"};
}

PlanAxes plan_axes(std::span<const sim::ServePlan> plans) {
  double user = 0, chip = 0;
  for (const sim::ServePlan& plan : plans) {
    user = std::max(user, plan.tokens_per_s_per_user);
    chip = std::max(chip, plan.output_tokens_per_s_per_accelerator);
  }
  const auto step_of = [](double most) {
    if (!(most > 0)) return 1.0;
    const double power = std::pow(10, std::floor(std::log10(most / 4)));
    const double wanted = most / 4 / power;
    return power * (wanted <= 1 ? 1 : wanted <= 2 ? 2 : wanted <= 5 ? 5 : 10);
  };
  const auto up = [](double most, double step) {
    return step * std::max(1.0, std::ceil(most / step));
  };
  PlanAxes axes;
  axes.user_step = step_of(user);
  axes.chip_step = step_of(chip);
  axes.user = up(user, axes.user_step);
  axes.chip = up(chip, axes.chip_step);
  return axes;
}

}  // namespace jevons::reports
