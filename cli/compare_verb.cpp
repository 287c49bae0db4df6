// compare: the same work over several accelerators, ratios to the first.
#include "document.hpp"
#include "results.hpp"
#include "verbs.hpp"

#include "jevons/core/error.hpp"
#include "jevons/reports/format.hpp"
#include "jevons/reports/result_json.hpp"
#include "jevons/sim/run.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace jevons::cli {
namespace {

/// A column: a metric, and whether more of it is better.
struct Column {
  std::string_view metric, title;
  bool more_is_better;
};

std::vector<Column> columns_of(sim::Task task) {
  if (task == sim::Task::train) {
    return {{"step_time_s", "step", false},
            {"tokens_per_s_per_accelerator", "tok/s/chip", true},
            {"mfu", "MFU", true},
            {"memory_peak_bytes", "memory", false},
            {"accelerator_hours", "chip hours", false},
            {"usd_per_mtok", "$/Mtok", false},
            {"cost_usd", "cost", false},
            {"tokens_per_j", "tok/s/W", true}};
  }
  if (task == sim::Task::serve) {
    return {{"output_tokens_per_s_per_accelerator", "out tok/s/chip", true},
            {"tokens_per_s_per_user", "tok/s/user", true},
            {"ttft_p50_s", "TTFT p50", false},
            {"memory_peak_bytes", "memory", false},
            {"usd_per_mtok_output", "$/Mtok out", false},
            {"output_tokens_per_s_per_w", "tok/s/W", true}};
  }
  return {{"time_s", "time", false},
          {"achieved_flops_per_s", "FLOP/s", true},
          {"achieved_bytes_per_s", "bytes/s", true}};
}

struct Row {
  std::string accelerator;
  std::optional<sim::Result> result;
  std::string reason;  ///< why there is none, or why it does not run
};

/// Keys that describe the scenario's own SKU and must not follow to another.
void forget_chip(Json& document, bool price_given) {
  if (document.contains("cluster") && document["cluster"].is_object()) {
    for (const char* key : {"accelerators_per_node", "scale_up_domain", "scale_out_bytes_per_s",
                            "scale_up_bytes_per_s", "memory_bytes", "memory_bytes_per_s",
                            "compute_units", "power_cap_w"}) {
      document["cluster"].erase(key);
    }
  }
  if (price_given || !document.contains("price") || !document["price"].is_object()) return;
  for (const char* key : {"usd_per_accelerator_hour", "accelerator_usd"}) {
    document["price"].erase(key);
  }
}

std::string own_accelerator(const Json& document) {
  if (!document.contains("cluster") || !document["cluster"].is_object()) return {};
  const Json& cluster = document["cluster"];
  const bool named = cluster.contains("accelerator") && cluster["accelerator"].is_string();
  return named ? cluster["accelerator"].get<std::string>() : std::string{};
}

Row run_row(const Options& options, const Json& base, const std::string& file,
            const std::string& accelerator, const hwmodels::Catalogue& catalogue) {
  Row row{accelerator, std::nullopt, {}};
  Json document = base;
  if (!document.contains("cluster")) document["cluster"] = Json::object();
  const bool price_flag = std::any_of(
      options.flags.begin(), options.flags.end(),
      [](const GivenFlag& given) { return given.flag->path == "price.usd_per_accelerator_hour"; });
  if (own_accelerator(base) != accelerator) forget_chip(document, price_flag);
  set_path(document, "cluster.accelerator", accelerator);
  try {
    row.result = sim::run(resolve(document, file, options, catalogue),
                          {.resolution = resolution_of(options)});
    if (row.result->infeasible) row.reason = row.result->infeasible->reason;
  } catch (const Error& error) {
    // A missing figure or a layout that cannot be: this SKU's row says so. An internal error is
    // ours.
    if (error.kind() == ErrorKind::internal || error.kind() == ErrorKind::usage) throw;
    row.reason = error.what();
  }
  return row;
}

std::optional<double> metric(const Row& row, std::string_view name) {
  if (!row.result || row.result->infeasible) return std::nullopt;
  const std::optional<double> value = row.result->metrics.number(name);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

/// This row against the first: 2.00 = twice the metric's value.
std::optional<double> ratio(const std::vector<Row>& rows, const Row& row, std::string_view name) {
  const std::optional<double> mine = metric(row, name), first = metric(rows.front(), name);
  if (!mine || !first || *first == 0) return std::nullopt;
  return *mine / *first;
}

bool shown(const std::vector<Row>& rows, std::string_view name) {
  return std::any_of(rows.begin(), rows.end(),
                     [&](const Row& row) { return metric(row, name).has_value(); });
}

/// The best row of a column.
const Row* best_of(const std::vector<Row>& rows, const Column& column) {
  const Row* best = nullptr;
  for (const Row& row : rows) {
    const std::optional<double> value = metric(row, column.metric);
    if (!value) continue;
    const bool better =
        best == nullptr || (column.more_is_better ? *value > *metric(*best, column.metric)
                                                  : *value < *metric(*best, column.metric));
    if (better) best = &row;
  }
  return best;
}

std::string price_text(const Row& row) {
  if (!row.result || !row.result->scenario.price.usd_per_accelerator_hour) return "";
  return fmt::format("${:.2f}/h", *row.result->scenario.price.usd_per_accelerator_hour);
}

/// Why there is no price, as the resolved scenario says it.
std::string missing_price(const Row& row) {
  if (!row.result || row.result->scenario.price.usd_per_accelerator_hour) return {};
  for (const sim::InputSource& input : row.result->scenario.inputs) {
    if (input.path == "/price/usd_per_accelerator_hour") return input.source.text;
  }
  return {};
}

std::string table(const std::vector<Row>& rows, sim::Task task) {
  std::vector<Column> columns;
  for (const Column& column : columns_of(task)) {
    if (shown(rows, column.metric)) columns.push_back(column);
  }
  std::vector<std::string> head{"accelerator", "price"};
  for (const Column& column : columns) {
    head.emplace_back(column.title);
    head.emplace_back("");
  }
  reports::TextTable text(head, 1);
  for (const Row& row : rows) {
    std::vector<std::string> cells{row.accelerator, price_text(row)};
    for (const Column& column : columns) {
      const std::optional<double> value = metric(row, column.metric);
      const std::optional<double> times = ratio(rows, row, column.metric);
      cells.push_back(value ? reports::format_metric(column.metric, *value) +
                                  (best_of(rows, column) == &row ? "*" : " ")
                            : "-");
      cells.push_back(times ? fmt::format("x{:.2f}", *times) : "");
    }
    text.row(cells);
  }
  std::string out = text.text("");
  out += "\nx: ratio to " + rows.front().accelerator + "; *: best of the column\n";
  for (const Row& row : rows) {
    if (!row.reason.empty()) out += row.accelerator + ": " + reports::printable(row.reason) + "\n";
    const std::string price = missing_price(row);
    if (!price.empty()) out += row.accelerator + ": " + price + "\n";
  }
  return out;
}

Json comparison_json(const std::vector<Row>& rows, sim::Task task) {
  Json out = Json::object();
  out["schema"] = "jevons.comparison/1";
  out["reference"] = rows.front().accelerator;
  out["rows"] = Json::array();
  for (const Row& row : rows) {
    Json item = Json::object();
    item["accelerator"] = row.accelerator;
    item["reason"] = row.reason.empty() ? Json(nullptr) : Json(row.reason);
    Json ratios = Json::object();
    for (const Column& column : columns_of(task)) {
      if (const auto times = ratio(rows, row, column.metric)) {
        ratios[std::string(column.metric)] = *times;
      }
    }
    item["ratios"] = std::move(ratios);
    item["result"] =
        row.result ? reports::result_to_json(*row.result, JEVONS_VERSION) : Json(nullptr);
    out["rows"].push_back(std::move(item));
  }
  return out;
}

std::string comparison_csv(const std::vector<Row>& rows, sim::Task task) {
  std::vector<std::string> head{"accelerator", "usd_per_accelerator_hour"};
  for (const Column& column : columns_of(task)) {
    head.emplace_back(column.metric);
    head.push_back(std::string(column.metric) + "_ratio");
  }
  head.emplace_back("reason");
  std::string out = reports::csv_record(head);
  for (const Row& row : rows) {
    std::vector<std::string> cells{row.accelerator, ""};
    if (row.result && row.result->scenario.price.usd_per_accelerator_hour) {
      cells[1] = fmt::format("{}", row.result->scenario.price.usd_per_accelerator_hour.value());
    }
    for (const Column& column : columns_of(task)) {
      const auto value = metric(row, column.metric);
      const auto times = ratio(rows, row, column.metric);
      cells.push_back(value ? fmt::format("{}", *value) : "");
      cells.push_back(times ? fmt::format("{}", *times) : "");
    }
    cells.push_back(row.reason);
    out += reports::csv_record(cells);
  }
  return out;
}

}  // namespace

int compare_verb(const Options& options) {
  ResultOutputs outputs(options);
  const hwmodels::Catalogue catalogue;
  std::string file;
  const Json base = scenario_document(options, {}, file);
  std::vector<Row> rows;
  for (const std::string& accelerator : options.hardware) {
    // A wrong name is a mistake of the command line, not a property of a SKU.
    (void)catalogue.accelerator(accelerator, "--hw");
    rows.push_back(run_row(options, base, file, accelerator, catalogue));
  }
  const auto any =
      std::find_if(rows.begin(), rows.end(), [](const Row& row) { return row.result.has_value(); });
  if (any == rows.end()) {
    throw Error(ErrorKind::bad_input, "",
                "none of the accelerators can run it: " + rows.front().reason);
  }
  const sim::Task task = any->result->scenario.task;
  outputs.write_json(comparison_json(rows, task));
  outputs.write_csv(comparison_csv(rows, task));
  if (outputs.wants_table()) print(any->result->scenario.name + "\n\n" + table(rows, task));
  const bool one_runs =
      std::any_of(rows.begin(), rows.end(), [](const Row& row) { return row.reason.empty(); });
  return one_runs ? 0 : 4;
}

}  // namespace jevons::cli
