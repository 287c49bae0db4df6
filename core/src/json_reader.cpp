#include "jevons/core/json_reader.hpp"

#include "jevons/core/error.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

namespace jevons {
namespace {

constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxShown = 60;

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > kMaxShown) text = text.substr(0, kMaxShown) + "…";
  return text;
}

std::string escape_pointer(std::string_view key) {
  std::string out;
  for (const char c : key) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

std::string line_and_column(std::string_view text, std::size_t byte) {
  const std::size_t end = std::min(byte, text.size());
  const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<long>(end), '\n');
  const std::size_t start = text.substr(0, end).rfind('\n');
  const std::size_t column = start == std::string_view::npos ? end : end - start - 1;
  return "line " + std::to_string(line) + ", column " +
         std::to_string(std::max<std::size_t>(1, column));
}

std::string range_text(Range range) {
  std::ostringstream out;
  const bool low = std::isfinite(range.low), high = std::isfinite(range.high) && range.high < 1e29;
  if (low) out << (range.low_open ? "greater than " : "at least ") << range.low;
  if (low && high) out << " and ";
  if (high) out << "at most " << range.high;
  return low || high ? "allowed: " + out.str() : "allowed: a finite number";
}

bool inside(double value, Range range) {
  return std::isfinite(value) && value <= range.high &&
         (range.low_open ? value > range.low : value >= range.low);
}

/// Refuses duplicate keys and deep nesting while the document is parsed.
class ParseGuard {
 public:
  explicit ParseGuard(std::string_view file) : file_(file) {}
  bool operator()(int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > kMaxDepth) {
      throw bad_input(file_, "nested deeper than " + std::to_string(kMaxDepth) + " levels");
    }
    if (event == Json::parse_event_t::object_start) keys_.emplace_back();
    if (event == Json::parse_event_t::object_end) keys_.pop_back();
    if (event == Json::parse_event_t::key && !keys_.empty()) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys_.back().insert(key).second) {
        throw bad_input(file_, "key '" + key + "' appears twice in one object");
      }
    }
    return true;
  }

 private:
  std::string file_;
  std::vector<std::set<std::string>> keys_;
};

}  // namespace

Json parse_json(std::string_view text, std::string_view file) {
  ParseGuard guard(file);
  try {
    return Json::parse(text, [&guard](int depth, Json::parse_event_t event, Json& parsed) {
      return guard(depth, event, parsed);
    });
  } catch (const Json::parse_error& error) {
    std::string reason = error.what();
    const std::size_t colon = reason.rfind(": ");
    if (colon != std::string::npos) reason = reason.substr(colon + 2);
    throw bad_input(std::string(file),
                    "not valid JSON at " + line_and_column(text, error.byte) + ": " + reason);
  } catch (const Json::exception& error) {
    throw bad_input(std::string(file), std::string("not valid JSON: ") + error.what());
  }
}

std::string read_text_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw bad_input(path, "cannot open the file for reading");
  std::ostringstream text;
  text << in.rdbuf();
  if (in.bad()) throw bad_input(path, "cannot read the file (is it a directory?)");
  return text.str();
}

ObjectReader::ObjectReader(const Json& value, std::string file, std::string pointer)
    : value_(&value), file_(std::move(file)), pointer_(std::move(pointer)) {
  if (!value.is_object()) {
    throw bad_input(where(), "expected an object, read " + shown(value));
  }
}

std::string ObjectReader::where() const {
  return file_ + ": " + (pointer_.empty() ? "/" : pointer_);
}
std::string ObjectReader::where(std::string_view key) const {
  return file_ + ": " + pointer_ + "/" + escape_pointer(key);
}

bool ObjectReader::has(std::string_view key) const {
  return value_->contains(key);
}
bool ObjectReader::has_value(std::string_view key) const {
  return value_->contains(key) && !value_->at(std::string(key)).is_null();
}

const Json& ObjectReader::at(std::string_view key) {
  known_.emplace_back(key);
  const auto found = value_->find(std::string(key));
  if (found == value_->end() || found->is_null()) {
    throw bad_input(where(), "missing key '" + std::string(key) + "'");
  }
  return *found;
}

const Json* ObjectReader::raw(std::string_view key) {
  known_.emplace_back(key);
  const auto found = value_->find(std::string(key));
  return found == value_->end() ? nullptr : &*found;
}

double ObjectReader::number(std::string_view key, Range range, UnitKind unit) {
  const Json& value = at(key);
  double number = 0.0;
  if (value.is_number()) {
    number = value.get<double>();
  } else if (value.is_string() && unit != UnitKind::none) {
    number = parse_quantity(value.get_ref<const std::string&>(), unit, where(key));
  } else {
    throw bad_input(where(key), "expected a number, read " + shown(value), range_text(range));
  }
  if (!inside(number, range)) {
    throw bad_input(where(key), "value out of range: read " + shown(value), range_text(range));
  }
  return number;
}

std::optional<double> ObjectReader::optional_number(std::string_view key, Range range,
                                                    UnitKind unit) {
  known_.emplace_back(key);
  if (!has_value(key)) return std::nullopt;
  return number(key, range, unit);
}

double ObjectReader::number_or(std::string_view key, double fallback, Range range, UnitKind unit) {
  return optional_number(key, range, unit).value_or(fallback);
}

long ObjectReader::integer(std::string_view key, long low, long high) {
  const double value =
      number(key, {static_cast<double>(low), static_cast<double>(high)}, UnitKind::count);
  if (value != std::floor(value)) {
    throw bad_input(where(key), "expected a whole number, read " + shown(at(key)));
  }
  return static_cast<long>(value);
}

long ObjectReader::integer_or(std::string_view key, long fallback, long low, long high) {
  return optional_integer(key, low, high).value_or(fallback);
}

std::optional<long> ObjectReader::optional_integer(std::string_view key, long low, long high) {
  known_.emplace_back(key);
  if (!has_value(key)) return std::nullopt;
  return integer(key, low, high);
}

bool ObjectReader::boolean_or(std::string_view key, bool fallback) {
  known_.emplace_back(key);
  if (!has_value(key)) return fallback;
  const Json& value = at(key);
  if (!value.is_boolean()) {
    throw bad_input(where(key), "expected true or false, read " + shown(value));
  }
  return value.get<bool>();
}

std::string ObjectReader::string(std::string_view key) {
  const Json& value = at(key);
  if (!value.is_string()) throw bad_input(where(key), "expected a text, read " + shown(value));
  return value.get<std::string>();
}

std::optional<std::string> ObjectReader::optional_string(std::string_view key) {
  known_.emplace_back(key);
  if (!has_value(key)) return std::nullopt;
  return string(key);
}

std::string ObjectReader::string_or(std::string_view key, std::string_view fallback) {
  return optional_string(key).value_or(std::string(fallback));
}

std::string ObjectReader::choice(std::string_view key, std::span<const std::string_view> allowed) {
  const std::string text = string(key);
  const std::vector<std::string> names(allowed.begin(), allowed.end());
  if (std::find(names.begin(), names.end(), text) == names.end()) {
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    throw bad_input(where(key), "unknown value '" + text + "'", "allowed: " + list);
  }
  return text;
}

std::string ObjectReader::choice_or(std::string_view key, std::string_view fallback,
                                    std::initializer_list<std::string_view> allowed) {
  known_.emplace_back(key);
  if (!has_value(key)) return std::string(fallback);
  return choice(key, std::span<const std::string_view>(allowed.begin(), allowed.size()));
}

ObjectReader ObjectReader::object(std::string_view key) {
  return {at(key), file_, pointer_ + "/" + escape_pointer(key)};
}

std::optional<ObjectReader> ObjectReader::optional_object(std::string_view key) {
  known_.emplace_back(key);
  if (!has_value(key)) return std::nullopt;
  return object(key);
}

void ObjectReader::ignore(std::string_view key) {
  known_.emplace_back(key);
}

void ObjectReader::ignore_all() {
  for (const auto& [key, unused] : value_->items()) known_.push_back(key);
}

void ObjectReader::finish() const {
  for (const auto& [key, unused] : value_->items()) {
    if (key.starts_with("x_")) continue;
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    std::vector<std::string> names = known_;
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    throw bad_input(where(key), "unknown key", did_you_mean(key, names));
  }
}

}  // namespace jevons
