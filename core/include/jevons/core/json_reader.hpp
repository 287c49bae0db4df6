// Strict JSON reading: every value is asked for by name and range, what nobody asked for is an
// error, and an error says file, JSON pointer, what was read and what is allowed.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <functional>
#include <initializer_list>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace jevons {

using Json = nlohmann::ordered_json;

/// Parses `text`; throws Error(bad_input) with line and column on malformed text, duplicate keys,
/// numbers out of range or nesting deeper than 64.
[[nodiscard]] Json parse_json(std::string_view text, std::string_view file);
/// Reads a whole file ("-" is standard input is not handled here); throws Error(bad_input).
[[nodiscard]] std::string read_text_file(const std::string& path);

/// What a number must satisfy; the text is shown in the error.
struct Range {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;
};
inline constexpr Range kPositive{0.0, 1e30, true};
inline constexpr Range kNonNegative{0.0, 1e30, false};
inline constexpr Range kFraction{0.0, 1.0, false};

/// The dimension a number with a unit string must have ("3.35TB/s" → bytes_per_s).
enum class UnitKind { none, bytes, bytes_per_s, seconds, watts, flops_per_s, usd, count };

/// A view of one JSON object. Keep the document alive. Keys that begin with x_ are ignored.
class ObjectReader {
 public:
  ObjectReader(const Json& value, std::string file, std::string pointer = "");
  ~ObjectReader() = default;

  [[nodiscard]] bool has(std::string_view key) const;           ///< present, null included
  [[nodiscard]] bool has_value(std::string_view key) const;     ///< present and not null
  [[nodiscard]] std::string where(std::string_view key) const;  ///< "file: /a/b/key"
  [[nodiscard]] std::string where() const;

  [[nodiscard]] double number(std::string_view key, Range range = {},
                              UnitKind unit = UnitKind::none);
  [[nodiscard]] std::optional<double> optional_number(std::string_view key, Range range = {},
                                                      UnitKind unit = UnitKind::none);
  [[nodiscard]] double number_or(std::string_view key, double fallback, Range range = {},
                                 UnitKind unit = UnitKind::none);
  /// Whole numbers up to 2^53.
  [[nodiscard]] long integer(std::string_view key, long low, long high);
  [[nodiscard]] long integer_or(std::string_view key, long fallback, long low, long high);
  [[nodiscard]] std::optional<long> optional_integer(std::string_view key, long low, long high);
  [[nodiscard]] bool boolean_or(std::string_view key, bool fallback);
  [[nodiscard]] std::string string(std::string_view key);
  [[nodiscard]] std::string string_or(std::string_view key, std::string_view fallback);
  [[nodiscard]] std::optional<std::string> optional_string(std::string_view key);
  /// A string out of `allowed`; an unknown one names the nearest.
  [[nodiscard]] std::string choice(std::string_view key, std::span<const std::string_view> allowed);
  [[nodiscard]] std::string choice_or(std::string_view key, std::string_view fallback,
                                      std::initializer_list<std::string_view> allowed);
  [[nodiscard]] ObjectReader object(std::string_view key);
  [[nodiscard]] std::optional<ObjectReader> optional_object(std::string_view key);
  /// The raw value, marked as read; null pointer if absent.
  [[nodiscard]] const Json* raw(std::string_view key);
  [[nodiscard]] const Json& value() const { return *value_; }
  [[nodiscard]] const std::string& file() const { return file_; }
  [[nodiscard]] const std::string& pointer() const { return pointer_; }

  /// Marks a key as known without reading it.
  void ignore(std::string_view key);
  void ignore_all();
  /// Throws Error(bad_input) on a key nobody asked for, naming the nearest known one.
  void finish() const;

 private:
  const Json& at(std::string_view key);
  const Json* value_;
  std::string file_, pointer_;
  std::vector<std::string> known_;
};

/// A number with an optional unit, as a person writes it: "14.8T", "3.35TB/s", "400Gb/s", "80GiB",
/// "2.5ms", "700W". `b` is bits, `B` is bytes; k, M, G, T, P are powers of 1000, Ki.. of 1024.
/// Throws Error(bad_input) when the text or its unit is wrong for `unit`.
[[nodiscard]] double parse_quantity(std::string_view text, UnitKind unit, std::string_view where);

/// The members of `names` nearest to `wrong` by edit distance, best first, at most `count`.
[[nodiscard]] std::vector<std::string> nearest(std::string_view wrong,
                                               std::span<const std::string> names,
                                               std::size_t count = 3);
/// "did you mean 'a', 'b'?" or, when nothing is near, "allowed: …".
[[nodiscard]] std::string did_you_mean(std::string_view wrong, std::span<const std::string> names);

}  // namespace jevons
