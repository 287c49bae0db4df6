// The report of one or more results.
#include "html_page.hpp"
#include "scenario_parts.hpp"

#include "jevons/reports/format.hpp"
#include "jevons/reports/scenario_json.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

namespace jevons::reports {
namespace {

using sim::Breakdown;
using sim::Result;

/// Headline metrics by task, in the order people ask for them.
constexpr std::array<std::string_view, 12> kTrainCards{"cost_usd",
                                                       "wall_time_s",
                                                       "accelerator_hours",
                                                       "facility_energy_j",
                                                       "step_time_s",
                                                       "mfu",
                                                       "tokens_per_s_per_accelerator",
                                                       "memory_peak_bytes",
                                                       "usd_per_mtok",
                                                       "tokens_per_j",
                                                       "power_w_per_accelerator",
                                                       "co2e_kg"};
constexpr std::array<std::string_view, 14> kServeCards{"usd_per_mtok_output",
                                                       "output_tokens_per_s",
                                                       "output_tokens_per_s_per_accelerator",
                                                       "prefill_input_tokens_per_s_per_accelerator",
                                                       "decode_output_tokens_per_s_per_accelerator",
                                                       "tokens_per_s_per_user",
                                                       "ttft_p50_s",
                                                       "tpot_p50_s",
                                                       "output_tokens_per_s_per_w",
                                                       "joules_per_output_token",
                                                       "usd_per_hour",
                                                       "revenue_usd_per_hour",
                                                       "margin",
                                                       "memory_peak_bytes"};
constexpr std::array<std::string_view, 5> kOpCards{"time_s", "achieved_flops_per_s",
                                                   "achieved_bytes_per_s", "flops", "bytes"};

std::span<const std::string_view> cards_of(sim::Task task) {
  if (task == sim::Task::train) return kTrainCards;
  if (task == sim::Task::serve) return kServeCards;
  return kOpCards;
}

std::string shown(std::string_view name, const sim::Metrics::Value& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "yes" : "no";
  if (const auto* number = std::get_if<double>(&value)) return format_metric(name, *number);
  return "";
}

std::string cards(const Result& result) {
  std::string html = "<div class=\"cards\">";
  for (const std::string_view name : cards_of(result.scenario.task)) {
    const std::optional<double> value = result.metrics.number(name);
    if (!value) continue;
    html += "<div class=\"card\"><b>" + escape_html(format_metric(name, *value)) + "</b><span>" +
            escape_html(metric_label(name)) + "</span></div>";
  }
  return html + "</div>\n";
}

std::string value_of(const Breakdown& part) {
  if (part.unit == "s") return format_seconds(part.value);
  if (part.unit == "usd") return format_usd(part.value);
  if (part.unit == "bytes") return with_prefix(part.value, "B");
  if (part.unit == "w") return with_prefix(part.value, "W");
  return with_prefix(part.value, part.unit);
}

std::string spaced(std::string text) {
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

std::string breakdowns(const Result& result) {
  std::string html;
  for (const Breakdown& root : result.breakdown) {
    std::vector<BarPart> parts;
    for (const Breakdown& child : root.children) {
      parts.push_back({spaced(child.name), child.value, value_of(child)});
    }
    const bool memory = root.unit == "bytes";
    const double limit =
        memory ? result.metrics.number("memory_capacity_bytes").value_or(0.0) : 0.0;
    const std::string title = metric_label(root.name) + ": " + value_of(root);
    html += "<h3>" + escape_html(title) + "</h3>\n" +
            stacked_bar(title, parts, limit, with_prefix(limit, "B"));
  }
  return html;
}

std::string metrics_table(const Result& result) {
  HtmlTable table("All metrics, in SI units as in the JSON file", {"metric", "", "value"}, 2);
  for (const sim::Metrics::Item& item : result.metrics.items()) {
    const auto* number = std::get_if<double>(&item.value);
    table.row({"<code>" + escape_html(item.name) + "</code>",
               escape_html(shown(item.name, item.value)),
               number != nullptr ? fmt::format("{:.6g}", *number) : ""});
  }
  return "<details><summary>All metrics</summary>" + table.html() + "</details>\n";
}

std::string operators_table(const Result& result) {
  HtmlTable table("On one accelerator; calls per step",
                  {"operator", "kind", "phase", "format", "bound", "calls", "time", "FLOPs",
                   "bytes", "of peak"},
                  5);
  for (const sim::OperatorRow& row : result.operators) {
    const double share = row.peak_flops_per_s > 0 && row.time_s > 0
                             ? row.flops / row.time_s / row.peak_flops_per_s
                             : 0.0;
    table.row({escape_html(row.name), escape_html(row.kind), escape_html(row.phase),
               escape_html(row.format), escape_html(row.bound), fmt::format("{:.0f}", row.calls),
               format_seconds(row.time_s), with_prefix(row.flops, "FLOP"),
               with_prefix(row.bytes, "B"), share > 0 ? fmt::format("{:.0f} %", 100 * share) : ""});
  }
  if (table.empty()) return {};
  return "<details><summary>Operators and their roofs</summary>" + table.html() + "</details>\n";
}

/// A name that may break where its words do.
std::string breakable(std::string_view name) {
  std::string html;
  for (const char c : escape_html(name)) {
    html += c;
    if (c == '_' || c == '/' || c == '.') html += "<wbr>";
  }
  return "<code>" + html + "</code>";
}

/// "0.600000" → "0.6"; what is no number stays.
std::string plain_value(const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end) return text;
  return fmt::format("{:.7g}", value);
}

std::string sources_table(const std::vector<sim::InputSource>& inputs, const std::string& caption,
                          const std::string& title, bool open) {
  HtmlTable table(caption, {"input", "value", "source", "mark"}, 4);
  std::set<std::string> listed;
  for (const sim::InputSource& input : inputs) {
    if (!listed.insert(input.path).second) continue;
    table.row({breakable(input.path), escape_html(plain_value(input.value)),
               escape_html(input.source.text), std::string(to_string(input.source.mark))},
              input.source.mark == Mark::assumed ? "assumed" : "");
  }
  if (table.empty()) return {};
  return "<details" + std::string(open ? " open" : "") + "><summary>" + title + " (" +
         std::to_string(listed.size()) + ")</summary>" + table.html() + "</details>\n";
}

std::string assumptions_table(const Result& result) {
  return sources_table(result.scenario.inputs, "What the scenario did not give, and what was taken",
                       "Assumptions and sources", true) +
         sources_table(result.provenance,
                       "Constants of chip and stack; what is marked assumed has no source",
                       "Constants and sources", false);
}

std::string verdict(const Result& result) {
  std::string html;
  if (result.infeasible) {
    html += "<p class=\"bad\">Infeasible: " + escape_html(result.infeasible->reason);
    if (!result.infeasible->smallest_change.empty()) {
      html +=
          ". Smallest change that would fit: " + escape_html(result.infeasible->smallest_change);
    }
    html += "</p>\n";
  }
  for (const sim::Warning& warning : result.warnings) {
    html += "<p class=\"warn\">" + escape_html(warning.code) + ": " + escape_html(warning.message) +
            "</p>\n";
  }
  return html;
}

std::string subtitle(const Result& result) {
  const sim::Scenario& s = result.scenario;
  const auto& p = s.parallelism;
  std::string text =
      fmt::format("{} {} on {} x {}, {}, stack {}", sim::to_string(s.task),
                  s.model.id.empty() ? s.model.name : s.model.id, s.cluster.count,
                  s.cluster.accelerator.name, precision_words(s.precision), s.stack.id);
  if (s.task != sim::Task::op) {
    text += fmt::format("; tp {} pp {} vpp {} cp {} dp {} ep {} etp {}", p.tp, p.pp, p.vpp, p.cp,
                        p.dp, p.ep, p.etp);
  }
  return "<p class=\"soft\">" + escape_html(text) + "</p>\n";
}

std::string section(const Result& result) {
  const std::string name = result.scenario.name.empty()
                               ? std::string(sim::to_string(result.scenario.task))
                               : result.scenario.name;
  std::string html = "<h2>" + escape_html(name) + "</h2>\n" + subtitle(result) + verdict(result);
  html += cards(result) + breakdowns(result) + operators_table(result) + metrics_table(result);
  html += assumptions_table(result);
  html += "<details><summary>Resolved scenario</summary><pre class=\"wide\"><code>" +
          escape_html(write_scenario(result.scenario).dump(2)) + "</code></pre></details>\n";
  return html;
}

}  // namespace

std::string results_to_html(std::span<const Result> results, const HtmlOptions& options) {
  std::string body;
  for (const Result& result : results) body += section(result);
  return html_page(options, body);
}

}  // namespace jevons::reports
