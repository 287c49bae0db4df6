// The scoreboard as JSON, terminal text and Markdown.
#include "jevons/reports/validation.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>

namespace jevons::reports {
namespace {

Json to_json(const ValidationStatistics& s) {
  Json j{{"n", s.n},           {"failures", s.failures}, {"mape", s.mape},
         {"median", s.median}, {"bias", s.bias},         {"p90", s.p90}};
  if (s.flags > 0) {
    j["flags"] = s.flags;
    j["said_true_was_false"] = s.said_true_was_false;
    j["said_false_was_true"] = s.said_false_was_true;
  }
  return j;
}

Json to_json(const ValidationRow& row) {
  Json j{{"id", row.id}, {"group", row.group}, {"metric", row.metric}};
  const auto value = [&](double number) { return row.is_flag ? Json(number > 0.5) : Json(number); };
  j["measured"] = value(row.measured);
  j["predicted"] = row.predicted ? value(*row.predicted) : Json();
  j["error"] = row.error ? Json(*row.error) : Json();
  j["reason"] = row.reason.empty() ? Json() : Json(row.reason);
  return j;
}

std::string line(const std::string& name, const ValidationStatistics& s) {
  std::string text = fmt::format("  {:<44} {:>5} {:>5}", name, s.n, s.failures);
  if (s.n - s.failures - s.flags > 0) {
    text += fmt::format(" {:>8.1f} {:>8.1f} {:>8.1f} {:>+8.1f}", 100 * s.median, 100 * s.mape,
                        100 * s.p90, 100 * s.bias);
  }
  if (s.flags > 0) {
    text += fmt::format("   {} of {} right",
                        s.flags - s.said_true_was_false - s.said_false_was_true, s.flags);
  }
  return text + "\n";
}

std::string header(const std::string& what) {
  return fmt::format("\n  {:<44} {:>5} {:>5} {:>8} {:>8} {:>8} {:>8}\n", what, "rows", "fail",
                     "median %", "mean %", "P90 %", "bias %");
}

std::string failures_text(const Validation& validation) {
  std::map<std::string, long> reasons;
  for (const ValidationRow& row : validation.rows) {
    if (!row.reason.empty()) ++reasons[row.reason.substr(0, 160)];
  }
  if (reasons.empty()) return {};
  std::string text = "\n  Could not run\n";
  for (const auto& [reason, count] : reasons) text += fmt::format("  {:>5}  {}\n", count, reason);
  return text;
}

std::string worst_text(const Validation& validation) {
  std::string text =
      fmt::format("\n  {:<14} {:<40} {:<34} {:>11} {:>11} {:>8}  {}\n", "worst rows", "group",
                  "metric", "measured", "predicted", "error %", "dominated by");
  for (const ValidationRow& row : worst_rows(validation)) {
    text +=
        fmt::format("  {:<14} {:<40} {:<34} {:>11.4g} {:>11.4g} {:>+8.1f}  {}\n", row.id, row.group,
                    row.metric, row.measured, *row.predicted, 100 * *row.error, row.dominated);
  }
  return text;
}

/// "op/h100-sxm/gemm-bf16" → "op/h100-sxm".
std::string family(const std::string& group) {
  const std::size_t first = group.find('/');
  if (first == std::string::npos) return group;
  return group.substr(0, group.find('/', first + 1));
}

}  // namespace

Json validation_to_json(const Validation& validation) {
  Json j{{"schema", "jevons.validation/1"}};
  j["overall"] = to_json(validation.overall);
  for (const auto& [name, s] : validation.by_metric) j["by_metric"][name] = to_json(s);
  for (const auto& [name, s] : validation.by_group) j["by_group"][name] = to_json(s);
  j["cases"] = Json::array();
  for (const ValidationRow& row : validation.rows) j["cases"].push_back(to_json(row));
  return j;
}

std::string validation_to_text(const Validation& validation) {
  std::string text = header("by group");
  for (const auto& [name, s] : validation.by_group) text += line(name, s);
  text += header("by metric");
  for (const auto& [name, s] : validation.by_metric) text += line(name, s);
  text += failures_text(validation);
  if (validation.overall.n > validation.overall.failures) text += worst_text(validation);
  text += header("overall") + line("all rows", validation.overall);
  return text;
}

std::string validation_to_markdown(const Validation& validation) {
  std::map<std::string, std::vector<ValidationRow>> families;
  for (const ValidationRow& row : validation.rows) families[family(row.group)].push_back(row);
  std::string text =
      "| group | rows | failed | median % | mean % | P90 % | bias % | yes/no right |\n"
      "|---|---|---|---|---|---|---|---|\n";
  const auto add = [&text](const std::string& name, const ValidationStatistics& s) {
    const long right = s.flags - s.said_true_was_false - s.said_false_was_true;
    text += fmt::format("| {} | {} | {} | ", name, s.n, s.failures);
    text += s.n - s.failures - s.flags > 0
                ? fmt::format("{:.1f} | {:.1f} | {:.1f} | {:+.1f} | ", 100 * s.median, 100 * s.mape,
                              100 * s.p90, 100 * s.bias)
                : "- | - | - | - | ";
    text += s.flags > 0 ? fmt::format("{} of {} |\n", right, s.flags) : "- |\n";
  };
  for (const auto& [name, rows] : families) add(name, statistics(rows));
  add("**all**", validation.overall);
  return text;
}

}  // namespace jevons::reports
