// Conditions of --fail-if: "cost_usd>6e6", and in a diff "cost_usd>+5%".
#pragma once

#include "jevons/sim/result.hpp"

#include <string>

namespace jevons::cli {

struct Condition {
  std::string text, metric;
  enum class Op { greater, greater_equal, less, less_equal } op = Op::greater;
  double limit = 0;
  bool is_change = false;  ///< in per cent of the first value
};

/// Throws Error(usage).
[[nodiscard]] Condition parse_condition(const std::string& text, bool changes_allowed);
[[nodiscard]] bool holds(const Condition& condition, double value);
/// The sentence that says what failed, or empty. A metric the result does not have is an error
/// (usage) that names near ones.
[[nodiscard]] std::string failed(const Condition& condition, const sim::Result& result);

}  // namespace jevons::cli
