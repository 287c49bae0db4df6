#include "plan_parts.hpp"

#include "jevons/reports/format.hpp"
#include "jevons/reports/plan.hpp"
#include "jevons/reports/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace jevons::reports {
namespace {

using sim::ServePlan;

constexpr std::size_t kWidth = 64, kHeight = 16;  // of the picture, in characters
constexpr std::size_t kRanked = 10, kFront = 20;  // rows of the tables

std::string table_of(const std::vector<ServePlan>& plans, std::size_t most) {
  TextTable table(kPlanHead, kPlanTextColumns);
  for (std::size_t i = 0; i < std::min(most, plans.size()); ++i) table.row(plan_cells(plans[i]));
  return table.text();
}

/// Rows from the top; each plan in its cell, what is drawn later on top.
class Picture {
 public:
  explicit Picture(const PlanAxes& axes) : axes_(axes) {}
  void draw(const std::vector<ServePlan>& plans, char mark) {
    for (const ServePlan& plan : plans) {
      const auto place = [](double value, double most, std::size_t cells) {
        const double at = std::floor(value / most * static_cast<double>(cells - 1) + 0.5);
        return std::min(cells - 1, static_cast<std::size_t>(std::max(0.0, at)));
      };
      const std::size_t x = place(plan.tokens_per_s_per_user, axes_.user, kWidth);
      const std::size_t y = place(plan.output_tokens_per_s_per_accelerator, axes_.chip, kHeight);
      rows_[kHeight - 1 - y][x] = mark;
    }
  }
  [[nodiscard]] std::string text() const {
    const std::string top = fmt::format("{:g}", axes_.chip);
    std::string out = "  tok/s/chip\n";
    for (std::size_t r = 0; r < kHeight; ++r) {
      const std::string label = r == 0 ? top : r + 1 == kHeight ? "0" : "";
      out += fmt::format("  {:>{}} |{}\n", label, top.size(), rows_[r]);
    }
    const std::string right = fmt::format("{:g} tok/s/user", axes_.user);
    const std::string indent(top.size() + 3, ' ');
    out += indent + "+" + std::string(kWidth, '-') + "\n";
    return out + indent + " 0" + std::string(kWidth - 1 - right.size(), ' ') + right + "\n";
  }

 private:
  PlanAxes axes_;
  std::vector<std::string> rows_ = std::vector<std::string>(kHeight, std::string(kWidth, ' '));
};

}  // namespace

std::vector<std::string> plan_cells(const ServePlan& plan) {
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

PlanAxes plan_axes(std::span<const ServePlan> plans) {
  double user = 0, chip = 0;
  for (const ServePlan& plan : plans) {
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

std::string planning_to_text(const sim::ServePlanning& planning, std::string_view objective) {
  std::string text =
      fmt::format("{} candidates, {} fit in memory, {} qualify\n", planning.candidates,
                  planning.fitting.size(), planning.ranked.size());
  if (!planning.ranked.empty()) {
    text += fmt::format("\nBest by {}\n{}", objective, table_of(planning.ranked, kRanked));
  }
  if (planning.pareto.empty()) return text;
  Picture picture(plan_axes(planning.fitting));
  picture.draw(planning.fitting, '.');
  picture.draw(planning.ranked, 'o');
  picture.draw(planning.pareto, '*');
  return text + "\nNot beaten in both tok/s/user and tok/s/chip (* below; o qualifies, . fits)\n" +
         table_of(planning.pareto, kFront) + "\n" + picture.text();
}

}  // namespace jevons::reports
