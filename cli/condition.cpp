#include "condition.hpp"

#include "jevons/core/error.hpp"
#include "jevons/core/json_reader.hpp"
#include "jevons/reports/format.hpp"

#include <charconv>
#include <cmath>

namespace jevons::cli {

Condition parse_condition(const std::string& text, bool changes_allowed) {
  const auto fail = [&](const std::string& message) {
    return Error(ErrorKind::usage, "--fail-if " + text, message,
                 changes_allowed ? "METRIC>VALUE or METRIC>+PERCENT%, with >, >=, < or <="
                                 : "METRIC>VALUE, with >, >=, < or <=");
  };
  Condition condition;
  condition.text = text;
  const std::size_t at = text.find_first_of("<>");
  if (at == std::string::npos || at == 0) throw fail("no comparison in it");
  const bool equal = at + 1 < text.size() && text[at + 1] == '=';
  condition.metric = text.substr(0, at);
  while (!condition.metric.empty() && condition.metric.back() == ' ') condition.metric.pop_back();
  condition.op = text[at] == '>' ? (equal ? Condition::Op::greater_equal : Condition::Op::greater)
                                 : (equal ? Condition::Op::less_equal : Condition::Op::less);
  std::string value = text.substr(at + (equal ? 2 : 1));
  value.erase(0, value.find_first_not_of(' '));
  if (value.ends_with('%')) {
    if (!changes_allowed) throw fail("a change in per cent needs two results: see jevons diff");
    condition.is_change = true;
    value.pop_back();
  }
  if (value.starts_with('+')) value.erase(0, 1);
  const char* end = value.data() + value.size();
  const auto parsed = std::from_chars(value.data(), end, condition.limit);
  if (value.empty() || parsed.ec != std::errc() || parsed.ptr != end) {
    throw fail("cannot read '" + value + "' as a number");
  }
  return condition;
}

bool holds(const Condition& condition, double value) {
  switch (condition.op) {
    case Condition::Op::greater: return value > condition.limit;
    case Condition::Op::greater_equal: return value >= condition.limit;
    case Condition::Op::less: return value < condition.limit;
    case Condition::Op::less_equal: break;
  }
  return value <= condition.limit;
}

std::string failed(const Condition& condition, const sim::Result& result) {
  const std::optional<double> value = result.metrics.number(condition.metric);
  if (!value) {
    std::vector<std::string> names;
    for (const auto& item : result.metrics.items()) names.push_back(item.name);
    throw Error(ErrorKind::usage, "--fail-if " + condition.text,
                "this result has no metric '" + condition.metric + "'",
                did_you_mean(condition.metric, names));
  }
  // A number that could not be computed passes no check.
  if (std::isfinite(*value) && !holds(condition, *value)) return {};
  return "check failed: " + condition.text + ", " + condition.metric + " is " +
         reports::format_metric(condition.metric, *value);
}

}  // namespace jevons::cli
