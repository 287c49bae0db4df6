// A software stack profile: how good the software was, apart from how good the chip is.
#pragma once

#include "jevons/hwmodels/accelerator.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace jevons::hwmodels {

/// At most twelve constants of its own (checked on load); the rest come from the stack defaults
/// file, which documents each name.
struct Stack {
  std::string id, name, description;
  std::string task;      ///< "train", "serve", "op" or "any"
  std::string based_on;  ///< id of the stack whose constants it starts from; empty: the defaults
  Constants constants;   ///< defaults ← based_on ← own
  std::vector<std::string> own_constants;
  /// Which stack's file a constant comes from, by name; those of the defaults are not listed.
  std::map<std::string, std::string, std::less<>> given_by;
  [[nodiscard]] double at(std::string_view constant) const { return constants.at(constant); }
  [[nodiscard]] bool flag(std::string_view constant) const { return constants.at(constant) > 0.5; }
};

inline constexpr std::size_t kMaxStackConstants = 12;

/// A constant of the defaults file: what it means and in which unit.
struct StackConstant {
  std::string name, unit, meaning;
  Sourced fallback;
};
[[nodiscard]] std::vector<StackConstant> stack_constants();

}  // namespace jevons::hwmodels
