// A plan as a page.
#include "html_page.hpp"
#include "plan_parts.hpp"

#include "jevons/reports/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace jevons::reports {
namespace {

using sim::ServePlan;

constexpr double kLeft = 70, kTop = 30, kWidth = 900, kHeight = 420;  // of the plot area

struct Point {
  double x, y;
};

Point place(const PlanAxes& axes, const ServePlan& plan) {
  return {kLeft + kWidth * plan.tokens_per_s_per_user / axes.user,
          kTop + kHeight * (1 - plan.output_tokens_per_s_per_accelerator / axes.chip)};
}

std::string told(const ServePlan& plan) {
  std::string text;
  const std::vector<std::string> cells = plan_cells(plan);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    text += (i > 0 ? ", " : "") + kPlanHead[i] + " " + cells[i];
  }
  return escape_html(text);
}

std::string dots(const PlanAxes& axes, const std::vector<ServePlan>& plans, std::string_view css,
                 double radius) {
  std::string out;
  for (const ServePlan& plan : plans) {
    const Point p = place(axes, plan);
    out += fmt::format(
        "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{}\" class=\"{}\"><title>{}</title></circle>\n",
        p.x, p.y, radius, css, told(plan));
  }
  return out;
}

std::string label(double x, double y, std::string_view anchor, const std::string& text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     escape_html(text));
}

std::string frame(const PlanAxes& axes) {
  std::string out =
      fmt::format("<rect class=\"track\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n", kLeft,
                  kTop, kWidth, kHeight);
  const auto ticks = [](double most, double step) { return std::lround(most / step); };
  for (long i = 0; i <= ticks(axes.user, axes.user_step); ++i) {
    const double value = axes.user_step * static_cast<double>(i);
    out += label(kLeft + kWidth * value / axes.user, kTop + kHeight + 18, "middle",
                 fmt::format("{:g}", value));
  }
  for (long i = 0; i <= ticks(axes.chip, axes.chip_step); ++i) {
    const double value = axes.chip_step * static_cast<double>(i);
    const double y = kTop + kHeight * (1 - value / axes.chip);
    out += fmt::format("<line class=\"grid\" x1=\"{}\" x2=\"{}\" y1=\"{:.1f}\" y2=\"{:.1f}\"/>\n",
                       kLeft, kLeft + kWidth, y, y);
    out += label(kLeft - 8, y + 4, "end", fmt::format("{:g}", value));
  }
  return out + label(kLeft + kWidth, kTop + kHeight + 38, "end", "tok/s/user") +
         label(kLeft, kTop - 14, "middle", "tok/s/chip");
}

/// The front from plan to plan.
std::string front_line(const PlanAxes& axes, const std::vector<ServePlan>& front) {
  std::string points;
  for (const ServePlan& plan : front) {
    const Point p = place(axes, plan);
    points += fmt::format("{:.1f},{:.1f} ", p.x, p.y);
  }
  return "<polyline class=\"front\" points=\"" + points + "\"/>\n";
}

std::string picture(const sim::ServePlanning& planning) {
  const PlanAxes axes = plan_axes(planning.fitting);
  return fmt::format(
             "<svg viewBox=\"0 0 {} {}\" role=\"img\"><title>Output tokens per second and "
             "user against output tokens per second and chip, of every plan that "
             "fits</title>\n",
             kLeft + kWidth + 20, kTop + kHeight + 45) +
         frame(axes) + front_line(axes, planning.pareto) + dots(axes, planning.fitting, "k7", 3) +
         dots(axes, planning.ranked, "k2", 4) + dots(axes, planning.pareto, "k0", 5) +
         "</svg>\n<p class=\"soft\"><span class=\"key k0\"></span>not beaten in both "
         "<span class=\"key k2\"></span>qualifies <span class=\"key k7\"></span>fits in memory. "
         "The table below has the numbers.</p>\n";
}

std::string table_of(const std::string& caption, const std::vector<ServePlan>& plans) {
  HtmlTable table(caption, kPlanHead, kPlanTextColumns);
  for (const ServePlan& plan : plans) {
    std::vector<std::string> cells = plan_cells(plan);
    for (std::string& cell : cells) cell = escape_html(cell);
    table.row(cells);
  }
  return "<div class=\"wide\">" + table.html() + "</div>\n";
}

}  // namespace

std::string planning_to_html(const sim::ServePlanning& planning, std::string_view objective,
                             const HtmlOptions& options) {
  std::string body =
      fmt::format("<p class=\"soft\">{} candidates, {} fit in memory, {} qualify</p>\n",
                  planning.candidates, planning.fitting.size(), planning.ranked.size());
  if (planning.infeasible) {
    body += "<p class=\"bad\">" + escape_html(planning.infeasible->reason) + "</p>\n<p>" +
            escape_html(planning.infeasible->smallest_change) + "</p>\n";
  }
  if (!planning.pareto.empty()) {
    body += "<h2>Speed for a user against speed of a chip</h2>\n" + picture(planning) +
            table_of("Not beaten in both", planning.pareto);
  }
  if (!planning.ranked.empty()) {
    body += "<h2>Plans that qualify</h2>\n" +
            table_of("Best first, by " + escape_html(std::string(objective)), planning.ranked);
  }
  return html_page(options, body);
}

}  // namespace jevons::reports
