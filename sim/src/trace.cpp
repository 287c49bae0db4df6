#include "jevons/core/error.hpp"
#include "jevons/core/json_reader.hpp"
#include "jevons/sim/requests.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <unordered_set>

namespace jevons::sim {
namespace {

constexpr double kMostTokens = 1e8;
constexpr double kHashBlockTokens = 512;  // Mooncake, FAST'25 trace

struct Line {
  std::string_view text;
  std::size_t number = 0;
};

std::vector<Line> lines_of(std::string_view text) {
  std::vector<Line> lines;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    ++number;
    if (!line.empty()) lines.push_back({line, number});
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::vector<std::string_view> cells_of(std::string_view line) {
  std::vector<std::string_view> cells;
  for (;;) {
    const std::size_t comma = line.find(',');
    std::string_view cell = line.substr(0, comma);
    while (!cell.empty() && cell.front() == ' ') cell.remove_prefix(1);
    while (!cell.empty() && cell.back() == ' ') cell.remove_suffix(1);
    cells.push_back(cell);
    if (comma == std::string_view::npos) return cells;
    line.remove_prefix(comma + 1);
  }
}

[[noreturn]] void refuse(const std::string& name, const Line& line, std::string_view column,
                         std::string_view read, std::string_view allowed) {
  throw bad_input(fmt::format("{}:{}", name, line.number),
                  fmt::format("column {}: read '{}'", column, read.substr(0, 60)),
                  fmt::format("expected {}", allowed));
}

double number(const std::string& name, const Line& line, std::string_view column,
              std::string_view cell, double low, double high) {
  double value = 0;
  const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
  if (error != std::errc{} || end != cell.data() + cell.size() || !(value >= low) ||
      !(value <= high)) {
    refuse(name, line, column, cell, fmt::format("a number from {:g} to {:g}", low, high));
  }
  return value;
}

/// Seconds of "2023-11-16 18:17:03.9799600" (days counted from year 0 of the civil calendar).
double timestamp(const std::string& name, const Line& line, std::string_view cell) {
  constexpr std::string_view kShape = "a time such as 2023-11-16 18:17:03.97";
  if (cell.size() < 19 || cell[4] != '-' || cell[7] != '-' || cell[13] != ':' || cell[16] != ':') {
    return number(name, line, "TIMESTAMP", cell, 0, 1e12);
  }
  const auto part = [&](std::size_t from, std::size_t count, double high) {
    const std::string_view digits = cell.substr(from, count);
    double value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size() || value < 0 || value > high) {
      refuse(name, line, "TIMESTAMP", cell, kShape);
    }
    return value;
  };
  // Days from civil (Hinnant).
  const double month = part(5, 2, 12), day = part(8, 2, 31);
  const double year = part(0, 4, 9999) - (month <= 2 ? 1 : 0);
  const double days = std::floor(year * 365.25) - std::floor(year / 100) + std::floor(year / 400) +
                      std::floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day;
  std::size_t zone = cell.find_first_of("+Zz", 19);
  zone = std::min(zone, cell.size());
  return days * 86400 + part(11, 2, 24) * 3600 + part(14, 2, 60) * 60 + part(17, zone - 17, 61);
}

std::vector<Request> parse_csv(const std::vector<Line>& lines, const std::string& name) {
  const std::vector<std::string_view> header = cells_of(lines.front().text);
  const auto column = [&](std::string_view wanted) -> std::size_t {
    return static_cast<std::size_t>(std::find(header.begin(), header.end(), wanted) -
                                    header.begin());
  };
  const bool azure = column("TIMESTAMP") < header.size();
  const std::array<std::string_view, 3> names =
      azure ? std::array<std::string_view, 3>{"TIMESTAMP", "ContextTokens", "GeneratedTokens"}
            : std::array<std::string_view, 3>{"arrival_s", "input_tokens", "output_tokens"};
  std::array<std::size_t, 3> at{};
  for (std::size_t i = 0; i < 3; ++i) {
    at[i] = column(names[i]);
    if (at[i] >= header.size()) {
      refuse(name, lines.front(), names[i], lines.front().text,
             "columns arrival_s,input_tokens,output_tokens[,prefix_hit_tokens] or "
             "TIMESTAMP,ContextTokens,GeneratedTokens");
    }
  }
  const std::size_t hits = column("prefix_hit_tokens");
  std::vector<Request> requests;
  requests.reserve(lines.size());
  for (std::size_t i = 1; i < lines.size(); ++i) {
    const std::vector<std::string_view> cells = cells_of(lines[i].text);
    if (cells.size() != header.size()) {
      refuse(name, lines[i], names[0], lines[i].text, fmt::format("{} cells", header.size()));
    }
    Request r;
    r.arrival_s = azure ? timestamp(name, lines[i], cells[at[0]])
                        : number(name, lines[i], names[0], cells[at[0]], 0, 1e12);
    r.input = number(name, lines[i], names[1], cells[at[1]], 1, kMostTokens);
    r.output = number(name, lines[i], names[2], cells[at[2]], 1, kMostTokens);
    if (hits < header.size()) {
      r.cached = number(name, lines[i], "prefix_hit_tokens", cells[hits], 0, r.input);
      r.cached = std::min(r.cached, r.input - 1);
    }
    requests.push_back(r);
  }
  return requests;
}

std::vector<Request> parse_json_lines(const std::vector<Line>& lines, const std::string& name) {
  std::vector<Request> requests;
  std::unordered_set<std::int64_t> seen;
  for (const Line& line : lines) {
    const std::string where = fmt::format("{}:{}", name, line.number);
    const Json value = parse_json(line.text, where);
    ObjectReader object(value, where);
    Request r;
    r.arrival_s = object.number("timestamp", {0, 1e15}) / 1000;
    r.input = static_cast<double>(object.integer("input_length", 1, 100000000));
    r.output = static_cast<double>(object.integer("output_length", 1, 100000000));
    const Json* hashes = object.raw("hash_ids");
    if (hashes != nullptr && !hashes->is_array()) {
      refuse(name, line, "hash_ids", hashes->dump().substr(0, 40), "a list of whole numbers");
    }
    bool leading = true;
    double hit_blocks = 0;
    if (hashes != nullptr) {
      for (const Json& hash : *hashes) {
        if (!hash.is_number_integer()) {
          refuse(name, line, "hash_ids", hash.dump(-1, ' ', false, Json::error_handler_t::replace),
                 "whole numbers");
        }
        leading = !seen.insert(hash.get<std::int64_t>()).second && leading;
        if (leading) hit_blocks += 1;
      }
    }
    r.cached = std::min(hit_blocks * kHashBlockTokens, r.input - 1);
    object.ignore_all();
    requests.push_back(r);
  }
  return requests;
}

}  // namespace

std::vector<Request> parse_trace(std::string_view text, const std::string& name) {
  const std::vector<Line> lines = lines_of(text);
  if (lines.empty()) throw bad_input(name, "the trace is empty");
  std::vector<Request> requests =
      lines.front().text.front() == '{' ? parse_json_lines(lines, name) : parse_csv(lines, name);
  if (requests.empty()) throw bad_input(name, "the trace has a header but no request");
  std::stable_sort(requests.begin(), requests.end(),
                   [](const Request& a, const Request& b) { return a.arrival_s < b.arrival_s; });
  const double first = requests.front().arrival_s;
  for (Request& r : requests) r.arrival_s -= first;
  return requests;
}

std::vector<Request> read_trace(const std::string& path) {
  return parse_trace(read_text_file(path), path);
}

}  // namespace jevons::sim
