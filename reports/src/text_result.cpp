// A result as a person reads it in a terminal: the answer first, then where it comes from.
#include "scenario_parts.hpp"

#include "jevons/reports/format.hpp"
#include "jevons/reports/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

namespace jevons::reports {
namespace {

using sim::Breakdown;
using sim::Result;

struct Group {
  std::string_view title;
  std::vector<std::string_view> metrics;
};

/// Metrics by the question they answer, in the order people ask.
const std::vector<Group>& groups_of(sim::Task task) {
  static const std::vector<Group> train{
      {"The run",
       {"wall_time_s", "accelerator_hours", "cost_usd", "usd_per_mtok", "facility_energy_j",
        "co2e_kg", "goodput_fraction"}},
      {"One step",
       {"step_time_s", "tokens_per_s", "tokens_per_s_per_accelerator",
        "model_flops_per_s_per_accelerator", "mfu", "mfu_noncausal", "hfu", "bubble_fraction",
        "exposed_comm_fraction", "optimizer_fraction"}},
      {"Power", {"power_w_per_accelerator", "it_power_w_per_accelerator", "tokens_per_j"}},
  };
  static const std::vector<Group> serve{
      {"Throughput",
       {"output_tokens_per_s", "input_tokens_per_s", "output_tokens_per_s_per_accelerator",
        "prefill_input_tokens_per_s_per_accelerator", "decode_output_tokens_per_s_per_accelerator",
        "tokens_per_s_per_user", "requests_per_s", "goodput_requests_per_s", "mean_batch_sequences",
        "accepted_tokens_per_step"}},
      {"Latency",
       {"ttft_p50_s", "ttft_p99_s", "tpot_p50_s", "tpot_p99_s", "e2e_p50_s", "e2e_p99_s",
        "ttft_mean_s", "tpot_mean_s", "e2e_mean_s"}},
      {"Money",
       {"usd_per_mtok_output", "usd_per_mtok_input", "usd_per_mtok_total", "usd_per_hour",
        "revenue_usd_per_hour", "margin", "markup"}},
      {"Power",
       {"power_w_per_accelerator", "it_power_w_per_accelerator", "joules_per_output_token",
        "output_tokens_per_s_per_w", "output_tokens_per_s_per_facility_mw"}},
  };
  static const std::vector<Group> op{
      {"The kernel",
       {"time_s", "bound", "achieved_flops_per_s", "achieved_bytes_per_s", "flops", "bytes"}}};
  if (task == sim::Task::train) return train;
  return task == sim::Task::serve ? serve : op;
}

class Text {
 public:
  Text(const Result& result, const TextOptions& options) : result_(result), options_(options) {}

  std::string all() {
    header();
    verdict();
    for (const Group& group : groups_of(result_.scenario.task)) metrics(group);
    memory();
    for (const Breakdown& root : result_.breakdown) breakdown(root);
    operators();
    assumptions();
    warnings();
    return out_;
  }

 private:
  std::string styled(std::string_view text, std::string_view code) const {
    if (!options_.color) return std::string(text);
    return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
  }
  void title(std::string_view text) { out_ += "\n" + styled(text, "1") + "\n"; }

  void header() {
    const sim::Scenario& s = result_.scenario;
    const auto& p = s.parallelism;
    out_ += styled(printable(s.name), "1") + "\n";
    std::string line =
        fmt::format("  {}{} x {}, {}, stack {}", s.model.id.empty() ? "" : s.model.id + " on ",
                    grouped(s.cluster.count), s.cluster.accelerator.id,
                    precision_words(s.precision), s.stack.id);
    out_ += printable(line) + "\n";
    if (s.task == sim::Task::op) return;
    out_ += fmt::format("  layout tp {}, pp {}, vpp {}, cp {}, dp {}, ep {}, etp {}", p.tp, p.pp,
                        p.vpp, p.cp, p.dp, p.ep, p.etp);
    if (s.task == sim::Task::train) {
      out_ += fmt::format("; {} micro-batches of {} x {} tokens, {}",
                          s.train.global_batch_sequences / s.train.micro_batch_sequences /
                              static_cast<double>(p.dp),
                          s.train.micro_batch_sequences, s.train.sequence_length,
                          sim::to_string(s.train.schedule));
    } else if (s.serve.instances > 1) {
      out_ += fmt::format("; {} instances", s.serve.instances);
    }
    out_ += "\n";
  }

  static std::string grouped(long value) {
    std::string text = std::to_string(value);
    for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
    return text;
  }

  void verdict() {
    if (!result_.infeasible) return;
    out_ += "\n" + styled("Does not run: ", "1;31") + printable(result_.infeasible->reason) + "\n";
    if (!result_.infeasible->smallest_change.empty()) {
      out_ +=
          "  smallest change that would: " + printable(result_.infeasible->smallest_change) + "\n";
    }
  }

  std::string shown(const std::string& name) const {
    if (const auto number = result_.metrics.number(name)) {
      if (const auto flag = result_.metrics.flag(name)) return *flag ? "yes" : "no";
      return std::isfinite(*number) ? format_metric(name, *number) : "n/a";
    }
    return result_.metrics.text(name).value_or("");
  }

  void metrics(const Group& group) {
    TextTable table({"", ""}, 1);
    bool any = false;
    for (const std::string_view name : group.metrics) {
      const std::string value = shown(std::string(name));
      if (value.empty()) continue;
      table.row({metric_label(name), value});
      any = true;
    }
    if (!any) return;
    title(group.title);
    out_ += table.text();
  }

  void memory() {
    const auto peak = result_.metrics.number("memory_peak_bytes");
    const auto capacity = result_.metrics.number("memory_capacity_bytes");
    if (!peak) return;
    title("Memory of one accelerator");
    std::string line = "  " + with_prefix(*peak, "B");
    if (capacity && *capacity > 0) {
      line +=
          fmt::format(" of {} ({:.0f} %)", with_prefix(*capacity, "B"), 100 * *peak / *capacity);
    }
    out_ += line + "\n";
  }

  std::string part_value(const Breakdown& part) const {
    if (part.unit == "s") return format_seconds(part.value);
    if (part.unit == "usd") return format_usd(part.value);
    if (part.unit == "bytes") return with_prefix(part.value, "B");
    if (part.unit == "w") return with_prefix(part.value, "W");
    return with_prefix(part.value, part.unit);
  }

  static std::string bar(double share) {
    const auto cells = static_cast<std::size_t>(std::lround(std::clamp(share, 0.0, 1.0) * 30));
    std::string text;
    for (std::size_t i = 0; i < cells; ++i) text += "█";
    return text;
  }

  void parts(TextTable& table, const Breakdown& node, double whole, int depth) const {
    for (const Breakdown& child : node.children) {
      const double share = whole > 0 ? child.value / whole : 0;
      std::string name = child.name;
      std::replace(name.begin(), name.end(), '_', ' ');
      const std::string indent(static_cast<std::size_t>(2 * depth), ' ');
      const bool detail = options_.formulas || depth == 0;
      if (!detail) continue;
      table.row({indent + name, part_value(child), fmt::format("{:.1f} %", 100 * share),
                 depth == 0 ? bar(share) : ""});
      parts(table, child, whole, depth + 1);
    }
  }

  void lines(const std::string& text) {
    std::string line;
    for (const char c : text + "\n") {
      if (c != '\n') {
        line += c;
      } else {
        out_ += "      " + printable(line) + "\n";
        line.clear();
      }
    }
  }

  void formulas(const Breakdown& node, const std::string& path) {
    if (!node.formula.empty()) {
      const bool one_line = node.formula.find('\n') == std::string::npos;
      out_ += "    " + path + (one_line ? " = " + printable(node.formula) + "\n" : ":\n");
      if (!one_line) lines(node.formula);
    }
    for (const Breakdown& child : node.children) formulas(child, path + "." + child.name);
  }

  void breakdown(const Breakdown& root) {
    if (root.children.empty() && !options_.formulas) return;
    title(metric_label(root.name) + ": " + part_value(root));
    TextTable table({"", "", "", ""}, 1, 2);
    parts(table, root, root.value, 0);
    out_ += table.text();
    if (options_.formulas) formulas(root, root.name);
  }

  void operators() {
    if (result_.scenario.task == sim::Task::op && !options_.formulas) return;
    if (result_.operators.empty()) return;
    std::vector<const sim::OperatorRow*> rows;
    for (const sim::OperatorRow& row : result_.operators) rows.push_back(&row);
    if (!options_.operators) {
      std::stable_sort(rows.begin(), rows.end(), [](const auto* a, const auto* b) {
        return a->time_s * a->calls > b->time_s * b->calls;
      });
    }
    const std::size_t limit =
        options_.operators ? rows.size() : std::min<std::size_t>(8, rows.size());
    title(options_.operators ? "Operators of one accelerator"
                             : "Longest operators of one accelerator, per step");
    TextTable table(
        {"operator", "phase", "format", "bound", "calls", "each", "FLOPs", "bytes", "of peak"}, 4);
    for (std::size_t i = 0; i < limit; ++i) {
      const sim::OperatorRow& row = *rows[i];
      const double share = row.peak_flops_per_s > 0 && row.time_s > 0
                               ? row.flops / row.time_s / row.peak_flops_per_s
                               : 0.0;
      table.row({row.name, row.phase, row.format, row.bound, fmt::format("{:.0f}", row.calls),
                 format_seconds(row.time_s), with_prefix(row.flops, "FLOP"),
                 with_prefix(row.bytes, "B"),
                 share > 0 ? fmt::format("{:.0f} %", 100 * share) : ""});
    }
    out_ += table.text();
    // The one kernel of an op has its formula under its time.
    if (!options_.formulas || result_.scenario.task == sim::Task::op) return;
    for (std::size_t i = 0; i < limit; ++i) {
      if (rows[i]->formula.empty()) continue;
      out_ += "    " + rows[i]->name + ":\n";
      lines(rows[i]->formula);
    }
  }

  void assumptions() {
    TextTable table({"", "", "", ""}, 4);
    std::set<std::string> seen;
    std::size_t count = 0;
    for (const sim::InputSource& input : result_.scenario.inputs) {
      if (!seen.insert(input.path).second) continue;
      table.row(
          {input.path, input.value, std::string(to_string(input.source.mark)), input.source.text});
      ++count;
    }
    if (count == 0) return;
    title("Not given, so taken");
    out_ += table.text();
  }

  void warnings() {
    if (result_.warnings.empty()) return;
    title("Warnings");
    for (const sim::Warning& warning : result_.warnings) {
      out_ += "  " + printable(warning.message) + "\n";
    }
  }

  const Result& result_;
  const TextOptions& options_;
  std::string out_;
};

/// The unit a metric's name ends in (contract: keys end in their SI unit).
std::string unit_of(std::string_view name) {
  for (const std::string_view unit :
       {"flops_per_s", "bytes_per_s", "tokens_per_s", "requests_per_s", "usd_per_hour", "bytes",
        "flops", "usd", "hours", "fraction", "kg"}) {
    if (name.ends_with(unit)) return std::string(unit);
  }
  for (const std::string_view unit : {"_s", "_w", "_j"}) {
    if (name.ends_with(unit)) return std::string(unit.substr(1));
  }
  return {};
}

}  // namespace

std::string result_to_text(const Result& result, const TextOptions& options) {
  return Text(result, options).all();
}

std::string results_to_csv(std::span<const Result> results) {
  const std::vector<std::string> head{"scenario", "metric", "value", "unit"};
  std::string out = csv_record(head);
  for (const Result& result : results) {
    for (const sim::Metrics::Item& item : result.metrics.items()) {
      std::string value;
      if (const auto* number = std::get_if<double>(&item.value)) {
        if (std::isfinite(*number)) value = number_text(*number);
      } else if (const auto* flag = std::get_if<bool>(&item.value)) {
        value = *flag ? "true" : "false";
      } else {
        value = std::get<std::string>(item.value);
      }
      const std::vector<std::string> cells{result.scenario.name, item.name, value,
                                           unit_of(item.name)};
      out += csv_record(cells);
    }
  }
  return out;
}

}  // namespace jevons::reports
