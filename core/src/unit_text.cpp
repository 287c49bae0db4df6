// Numbers as people write them, and nearest names for errors.
#include "jevons/core/error.hpp"
#include "jevons/core/json_reader.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

namespace jevons {
namespace {

struct Prefix {
  std::string_view text;
  double factor;
};
// Longest first, so that "Ki" is not read as "K" + "i".
constexpr std::array<Prefix, 16> kPrefixes{{{"Ki", 1024.0},
                                            {"Mi", 1048576.0},
                                            {"Gi", 1073741824.0},
                                            {"Ti", 1099511627776.0},
                                            {"Pi", 1125899906842624.0},
                                            {"k", 1e3},
                                            {"K", 1e3},
                                            {"M", 1e6},
                                            {"G", 1e9},
                                            {"B", 1e9},  // only where the unit is a plain count
                                            {"T", 1e12},
                                            {"P", 1e15},
                                            {"E", 1e18},
                                            {"m", 1e-3},
                                            {"u", 1e-6},
                                            {"n", 1e-9}}};

struct Unit {
  UnitKind kind;
  std::string_view text;
  double factor;
};
constexpr std::array<Unit, 17> kUnits{{{UnitKind::bytes, "B", 1.0},
                                       {UnitKind::bytes, "b", 0.125},
                                       {UnitKind::bytes_per_s, "B/s", 1.0},
                                       {UnitKind::bytes_per_s, "b/s", 0.125},
                                       {UnitKind::bytes_per_s, "bps", 0.125},
                                       {UnitKind::seconds, "s", 1.0},
                                       {UnitKind::seconds, "min", 60.0},
                                       {UnitKind::seconds, "h", 3600.0},
                                       {UnitKind::seconds, "d", 86400.0},
                                       {UnitKind::watts, "W", 1.0},
                                       {UnitKind::flops_per_s, "FLOP/s", 1.0},
                                       {UnitKind::flops_per_s, "FLOPS", 1.0},
                                       {UnitKind::usd, "USD", 1.0},
                                       {UnitKind::usd, "$", 1.0},
                                       {UnitKind::usd, "USD/h", 1.0},
                                       {UnitKind::count, "", 1.0},
                                       {UnitKind::none, "", 1.0}}};

std::string_view example(UnitKind kind) {
  switch (kind) {
    case UnitKind::bytes: return "a number of bytes, or a text such as \"80GiB\" or \"80GB\"";
    case UnitKind::bytes_per_s:
      return "bytes per second, or a text such as \"3.35TB/s\" or \"400Gb/s\"";
    case UnitKind::seconds: return "seconds, or a text such as \"2.5ms\" or \"3h\"";
    case UnitKind::watts: return "watts, or a text such as \"700W\"";
    case UnitKind::flops_per_s: return "FLOP per second, or a text such as \"989TFLOP/s\"";
    case UnitKind::usd: return "US dollars, or a text such as \"2.1USD\"";
    case UnitKind::count: return "a number, or a text such as \"14.8T\"";
    case UnitKind::none: break;
  }
  return "a plain number";
}

std::optional<double> suffix_factor(std::string_view suffix, UnitKind kind) {
  for (const Unit& unit : kUnits) {
    if (unit.kind != kind || !suffix.ends_with(unit.text)) continue;
    const std::string_view prefix = suffix.substr(0, suffix.size() - unit.text.size());
    if (prefix.empty()) return unit.factor;
    for (const Prefix& p : kPrefixes) {
      if (p.text != prefix) continue;
      if (p.text == "B" && kind != UnitKind::count) continue;
      if (p.factor < 1 && kind != UnitKind::seconds && kind != UnitKind::watts) continue;
      return p.factor * unit.factor;
    }
  }
  return std::nullopt;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t up = row[j];
      const bool same = std::tolower(static_cast<unsigned char>(a[i - 1])) ==
                        std::tolower(static_cast<unsigned char>(b[j - 1]));
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (same ? 0 : 1)});
      diagonal = up;
    }
  }
  return row[b.size()];
}

/// Every word of `wrong` is a word of `name`: memory_bytes_per_s, memory_bandwidth_bytes_per_s.
bool words_within(std::string_view wrong, std::string_view name) {
  constexpr std::string_view kBreaks = "_-. ";
  const std::string padded = "_" + std::string(name) + "_";
  std::size_t words = 0;
  for (std::size_t start = 0; start <= wrong.size();) {
    const std::size_t end = std::min(wrong.find_first_of(kBreaks, start), wrong.size());
    const std::string word = "_" + std::string(wrong.substr(start, end - start)) + "_";
    if (word.size() > 2) {
      ++words;
      if (padded.find(word) == std::string::npos) return false;
    }
    start = end + 1;
  }
  return words >= 2;
}

}  // namespace

double parse_quantity(std::string_view text, UnitKind unit, std::string_view where) {
  const auto fail = [&] {
    return bad_input(std::string(where), "cannot read '" + std::string(text) + "'",
                     "allowed: " + std::string(example(unit)));
  };
  std::string_view rest = text;
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  if (rest.empty() || unit == UnitKind::none) throw fail();
  double value = 0.0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (error != std::errc() || !std::isfinite(value)) throw fail();
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  while (!rest.empty() && rest.back() == ' ') rest.remove_suffix(1);
  if (rest.empty()) return value;
  const std::optional<double> factor = suffix_factor(rest, unit);
  if (!factor) throw fail();
  return value * *factor;
}

std::vector<std::string> nearest(std::string_view wrong, std::span<const std::string> names,
                                 std::size_t count) {
  if (wrong.size() > 256) wrong = wrong.substr(0, 256);
  std::vector<std::pair<std::size_t, std::string>> scored;
  for (const std::string& name : names) {
    std::size_t distance = edit_distance(wrong, name);
    const bool contains = wrong.size() >= 3 && name.find(wrong) != std::string::npos;
    if (contains) distance = std::min<std::size_t>(distance, 2);
    if (words_within(wrong, name)) distance = std::min<std::size_t>(distance, 1);
    if (distance <= std::max<std::size_t>(2, name.size() / 3)) scored.emplace_back(distance, name);
  }
  std::stable_sort(scored.begin(), scored.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> result;
  for (std::size_t i = 0; i < scored.size() && i < count; ++i) result.push_back(scored[i].second);
  return result;
}

std::string did_you_mean(std::string_view wrong, std::span<const std::string> names) {
  const std::vector<std::string> near = nearest(wrong, names);
  std::string text = near.empty() ? "allowed: " : "did you mean ";
  const auto list = near.empty() ? names : std::span<const std::string>(near);
  for (std::size_t i = 0; i < list.size(); ++i) {
    text += i == 0 ? "" : (near.empty() ? ", " : " or ");
    text += near.empty() ? list[i] : "'" + list[i] + "'";
  }
  return near.empty() ? text : text + "?";
}

}  // namespace jevons
