#include "jevons/reports/format.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <utility>

namespace jevons::reports {
namespace {

/// Three significant digits without an exponent: 1234.5 → "1,230" is wrong for people, so digits
/// left of the point are always shown.
std::string digits(double value) {
  const double size = std::abs(value);
  if (size == 0) return "0";
  if (size >= 99.95) return fmt::format("{:.0f}", value);
  if (size >= 9.995) return fmt::format("{:.1f}", value);
  if (size >= 0.9995) return fmt::format("{:.2f}", value);
  return fmt::format("{:.3g}", value);
}

bool ends(std::string_view name, std::string_view end) {
  return name.ends_with(end);
}

/// The unit of a rate by what is counted.
std::string format_rate(std::string_view name, double value) {
  if (name.find("flops") != std::string_view::npos) return with_prefix(value, "FLOP/s");
  if (name.find("bytes") != std::string_view::npos) return with_prefix(value, "B/s");
  if (name.find("requests") != std::string_view::npos) return with_prefix(value, "requests/s");
  return with_prefix(value, "tok/s");
}

}  // namespace

std::string with_prefix(double value, std::string_view unit) {
  static constexpr std::array<std::pair<double, std::string_view>, 6> kPrefixes{
      {{1e18, "E"}, {1e15, "P"}, {1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}}};
  for (const auto& [factor, prefix] : kPrefixes) {
    if (std::abs(value) >= 0.9995 * factor) {
      return fmt::format("{} {}{}", digits(value / factor), prefix, unit);
    }
  }
  return unit.empty() ? digits(value) : fmt::format("{} {}", digits(value), unit);
}

std::string format_seconds(double s) {
  const double size = std::abs(s);
  if (size == 0) return "0 s";
  if (size < 1e-6) return digits(s * 1e9) + " ns";
  if (size < 1e-3) return digits(s * 1e6) + " us";
  if (size < 1) return digits(s * 1e3) + " ms";
  if (size < 120) return digits(s) + " s";
  if (size < 2 * 3600) return digits(s / 60) + " min";
  if (size < 2 * 86400) return digits(s / 3600) + " h";
  return digits(s / 86400) + " days";
}

std::string format_usd(double usd) {
  const double size = std::abs(usd);
  const std::string sign = usd < 0 ? "-$" : "$";
  if (size >= 1e9) return sign + digits(size / 1e9) + " B";
  if (size >= 1e6) return sign + digits(size / 1e6) + " M";
  if (size >= 1e4) return sign + digits(size / 1e3) + " k";
  if (size >= 1) return sign + fmt::format("{:.2f}", size);
  return sign + fmt::format("{:.3g}", size);
}

std::string format_metric(std::string_view name, double value) {
  if (name.starts_with("usd_per_hour") || ends(name, "usd_per_hour"))
    return format_usd(value) + "/h";
  if (name.find("usd_per_mtok") != std::string_view::npos) return format_usd(value) + "/Mtok";
  if (name.find("usd") != std::string_view::npos) return format_usd(value);
  if (name == "accelerator_hours") return with_prefix(value, "") + " h";
  if (ends(name, "_per_s_per_w")) return digits(value) + " tok/s/W";
  if (ends(name, "_per_s_per_facility_mw")) return with_prefix(value, "tok/s/MW");
  if (ends(name, "_per_s_per_user")) return digits(value) + " tok/s";
  if (ends(name, "_per_s")) return format_rate(name, value);
  if (ends(name, "_per_s_per_accelerator")) return format_rate(name, value);
  if (name.find("power_w") != std::string_view::npos || ends(name, "_w")) {
    return with_prefix(value, "W");
  }
  if (name == "tokens_per_j") return digits(value) + " tok/J";
  if (name.starts_with("joules_per")) return digits(value) + " J/tok";
  if (ends(name, "energy_j")) return with_prefix(value / 3600, "Wh");
  if (ends(name, "_bytes") || name.find("bytes_per_token") != std::string_view::npos ||
      name == "bytes") {
    return with_prefix(value, "B");
  }
  if (name.find("flops") != std::string_view::npos) return with_prefix(value, "FLOP");
  if (ends(name, "_kg"))
    return value >= 1000 ? with_prefix(value / 1000, "t") : digits(value) + " kg";
  if (ends(name, "_fraction") || name == "mfu" || name == "hfu" || name == "mfu_noncausal" ||
      name == "margin" || name == "markup") {
    return fmt::format("{:.1f} %", 100 * value);
  }
  if (ends(name, "_s")) return format_seconds(value);
  return with_prefix(value, "");
}

std::string metric_label(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 17> kWords{
      {{"_per_s", " per s"},
       {"flops", "FLOP"},
       {"mfu", "MFU"},
       {"hfu", "HFU"},
       {"ttft", "TTFT"},
       {"tpot", "TPOT"},
       {"itl", "ITL"},
       {"e2e", "end-to-end"},
       {"usd", "USD"},
       {"kv", "KV"},
       {"co2e", "CO2e"},
       {"mtok", "million tokens"},
       {"_per_j", " per J"},
       {"_per_w", " per W"},
       {"_per_facility_mw", " per facility MW"},
       {"it", "IT"},
       {"comm", "communication"}}};
  std::string text(name);
  if (const std::size_t at = text.find("power_w"); at != std::string::npos) {
    text.replace(at, 7, "power");
  }
  for (const std::string_view unit : {"_s", "_j", "_w", "_kg", "_bytes", "_usd", "_fraction"}) {
    if (text.ends_with(unit) && !text.ends_with("_per" + std::string(unit))) {
      text.erase(text.size() - unit.size());
      break;
    }
  }
  for (const auto& [from, to] : kWords) {
    const std::size_t at = text.find(from);
    const bool word = at != std::string::npos &&
                      (at == 0 || text[at - 1] == '_' || from.front() == '_') &&
                      (at + from.size() == text.size() || text[at + from.size()] == '_');
    if (word) text.replace(at, from.size(), to);
  }
  for (char& c : text) {
    if (c == '_') c = ' ';
  }
  return text;
}

}  // namespace jevons::reports
