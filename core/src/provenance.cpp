#include "jevons/core/provenance.hpp"

#include "jevons/core/error.hpp"

#include <array>
#include <utility>

namespace jevons {
namespace {

constexpr std::array<std::pair<Mark, std::string_view>, 5> kMarks{{
    {Mark::primary, "primary"},
    {Mark::secondary, "secondary"},
    {Mark::derived, "derived"},
    {Mark::unverified, "unverified"},
    {Mark::assumed, "assumed"},
}};

}  // namespace

std::string_view to_string(Mark mark) {
  for (const auto& [value, name] : kMarks) {
    if (value == mark) return name;
  }
  return "assumed";
}

Mark mark_from_string(std::string_view text, std::string_view where) {
  for (const auto& [value, name] : kMarks) {
    if (name == text) return value;
  }
  throw bad_input(std::string(where), "unknown mark '" + std::string(text) + "'",
                  "allowed: primary, secondary, derived, unverified, assumed");
}

}  // namespace jevons
