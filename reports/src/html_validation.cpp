// The scoreboard as a page.
#include "html_page.hpp"

#include <fmt/format.h>

#include <cmath>

namespace jevons::reports {
namespace {

std::string percent(double share, bool sign = false) {
  return sign ? fmt::format("{:+.1f} %", 100 * share) : fmt::format("{:.1f} %", 100 * share);
}

void add(HtmlTable& table, const std::string& name, const ValidationStatistics& s) {
  const bool numbers = s.n - s.failures - s.flags > 0;
  const long right = s.flags - s.said_true_was_false - s.said_false_was_true;
  table.row({escape_html(name), std::to_string(s.n), std::to_string(s.failures),
             numbers ? percent(s.median) : "", numbers ? percent(s.mape) : "",
             numbers ? percent(s.p90) : "", numbers ? percent(s.bias, true) : "",
             s.flags > 0 ? fmt::format("{} of {}", right, s.flags) : ""});
}

/// Predicted against measured time on log-log axes; the diagonal is a perfect prediction.
std::string scatter(const Validation& validation) {
  std::string dots;
  for (const ValidationRow& row : validation.rows) {
    if (!row.error || row.measured <= 0 || *row.predicted <= 0) continue;
    // Ratio against rank of size keeps metrics of different units on one picture.
    const double x = 500 + 40 * std::log10(row.measured);
    const double y = 150 - 200 * std::log10(*row.predicted / row.measured);
    if (x < 0 || x > 1000 || y < 0 || y > 300) continue;
    dots += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"1.6\" class=\"k0\"/>", x, y);
  }
  return "<svg viewBox=\"0 0 1000 300\" role=\"img\"><title>Predicted over measured (vertical, a "
         "factor "
         "of 10 is 200 units) against the measured value (horizontal, logarithmic)</title>"
         "<rect class=\"track\" x=\"0\" y=\"0\" width=\"1000\" height=\"300\"/>"
         "<line class=\"limit\" x1=\"0\" x2=\"1000\" y1=\"150\" y2=\"150\"/>" +
         dots +
         "</svg>\n<p class=\"soft\">Each dot is one measured fact: its height is predicted over "
         "measured (the dashed line is 1, the edges are factors of 5.6), its place the measured "
         "value on a logarithmic scale.</p>\n";
}

}  // namespace

std::string validation_to_html(const Validation& validation, const HtmlOptions& options) {
  const std::vector<std::string> head{"",     "rows", "failed", "median",
                                      "mean", "P90",  "bias",   "yes/no right"};
  HtmlTable overall("Overall and by metric", head);
  add(overall, "all rows", validation.overall);
  for (const auto& [name, s] : validation.by_metric) add(overall, name, s);
  HtmlTable groups("By group", head);
  for (const auto& [name, s] : validation.by_group) add(groups, name, s);
  HtmlTable worst("Worst rows",
                  {"case", "group", "metric", "dominated by", "measured", "predicted", "error"}, 4);
  for (const ValidationRow& row : worst_rows(validation)) {
    worst.row({escape_html(row.id), escape_html(row.group), escape_html(row.metric),
               escape_html(row.dominated), fmt::format("{:.4g}", row.measured),
               fmt::format("{:.4g}", *row.predicted), percent(*row.error, true)});
  }
  HtmlTable failed("Could not run", {"case", "metric", "reason"}, 3);
  for (const ValidationRow& row : validation.rows) {
    if (!row.reason.empty()) {
      failed.row({escape_html(row.id), escape_html(row.metric), escape_html(row.reason)});
    }
  }
  std::string body = overall.html() + scatter(validation) + groups.html() + worst.html();
  if (!failed.empty()) body += failed.html();
  return html_page(options, body);
}

}  // namespace jevons::reports
