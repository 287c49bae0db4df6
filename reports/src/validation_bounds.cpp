// Conditions on a scoreboard: "op/:median>5%".
#include "jevons/core/error.hpp"
#include "jevons/reports/validation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace jevons::reports {
namespace {

struct Condition {
  std::string scope, statistic, relation;
  double limit = 0;
};

Error malformed(const std::string& text) {
  return {ErrorKind::usage, "--fail-if", "cannot read the condition '" + text + "'",
          "write [scope:]statistic>limit, statistic one of n, failures, mape, median, bias, "
          "|bias|, p90, "
          "wrong; for example 'median>8%' or 'tpot_p50_s:p90>30%'"};
}

Condition parse(const std::string& text) {
  Condition c;
  const std::size_t at = text.find_first_of("<>");
  if (at == std::string::npos) throw malformed(text);
  std::string left = text.substr(0, at);
  const std::size_t colon = left.rfind(':');
  if (colon != std::string::npos) {
    c.scope = left.substr(0, colon);
    left = left.substr(colon + 1);
  }
  c.statistic = left;
  std::size_t rest = at + 1;
  c.relation = text[at];
  if (rest < text.size() && text[rest] == '=') {
    c.relation += '=';
    ++rest;
  }
  std::string number = text.substr(rest);
  double factor = 1;
  if (!number.empty() && number.back() == '%') {
    factor = 0.01;
    number.pop_back();
  }
  try {
    std::size_t used = 0;
    c.limit = std::stod(number, &used) * factor;
    if (used != number.size()) throw malformed(text);
  } catch (const std::logic_error&) {
    throw malformed(text);
  }
  return c;
}

/// "a+b" → a, b.
std::vector<std::string> split(const std::string& scope) {
  std::vector<std::string> parts;
  std::size_t from = 0;
  while (true) {
    const std::size_t plus = scope.find('+', from);
    parts.push_back(scope.substr(from, plus - from));
    if (plus == std::string::npos) return parts;
    from = plus + 1;
  }
}

double value_of(const ValidationStatistics& s, const Condition& c, const std::string& text) {
  if (c.statistic == "n") return static_cast<double>(s.n);
  if (c.statistic == "failures") return static_cast<double>(s.failures);
  if (c.statistic == "mape") return s.mape;
  if (c.statistic == "median") return s.median;
  if (c.statistic == "bias") return s.bias;
  if (c.statistic == "|bias|") return std::abs(s.bias);
  if (c.statistic == "p90") return s.p90;
  if (c.statistic == "wrong") {
    return static_cast<double>(s.said_true_was_false + s.said_false_was_true) /
           static_cast<double>(std::max(1L, s.flags));
  }
  throw malformed(text);
}

bool holds(double value, const Condition& c) {
  if (c.relation == ">") return value > c.limit;
  if (c.relation == ">=") return value >= c.limit;
  if (c.relation == "<") return value < c.limit;
  return value <= c.limit;
}

std::string judge(const std::string& name, const ValidationStatistics& s, const Condition& c,
                  const std::string& text) {
  const double value = value_of(s, c, text);
  if (!holds(value, c)) return {};
  const bool count = c.statistic == "n" || c.statistic == "failures";
  return count ? fmt::format("{}: {} is {:.0f} ('{}')", name, c.statistic, value, text)
               : fmt::format("{}: {} is {:.2f} % ('{}')", name, c.statistic, 100 * value, text);
}

}  // namespace

std::string failed_condition(const Validation& validation, const std::string& text) {
  const Condition c = parse(text);
  if (c.scope.empty()) return judge("overall", validation.overall, c, text);
  if (c.scope == "each group") {
    std::string all;
    for (const auto& [name, s] : validation.by_group) {
      const std::string one = judge(name, s, c, text);
      if (!one.empty()) all += (all.empty() ? "" : "; ") + one;
    }
    return all;
  }
  std::vector<ValidationRow> rows;
  const std::vector<std::string> scopes = split(c.scope);
  for (const ValidationRow& row : validation.rows) {
    if (std::any_of(scopes.begin(), scopes.end(), [&row](const std::string& scope) {
          return row.metric == scope || row.group.starts_with(scope);
        })) {
      rows.push_back(row);
    }
  }
  if (rows.empty()) {
    throw bad_input("--fail-if", "scope '" + c.scope + "' matches no metric and no group");
  }
  return judge(c.scope, statistics(rows), c, text);
}

}  // namespace jevons::reports
