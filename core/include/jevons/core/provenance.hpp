// Where a number comes from. Every input that reaches a result carries one of these.
#pragma once

#include <string>
#include <string_view>

namespace jevons {

/// primary: the origin of the number · secondary: a retelling · derived: arithmetic on others ·
/// unverified: no citable source · assumed: our choice.
enum class Mark { primary, secondary, derived, unverified, assumed };

[[nodiscard]] std::string_view to_string(Mark mark);
/// Throws Error(bad_input) that lists the valid marks.
[[nodiscard]] Mark mark_from_string(std::string_view text, std::string_view where);

struct Source {
  std::string text;
  Mark mark = Mark::assumed;
};

/// A number with its source: a calibrated constant, a price, a datasheet figure.
struct Sourced {
  double value = 0.0;
  Source source;
  std::string note;
};

}  // namespace jevons
