#include "plan_parts.hpp"

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
