// report, diff and validate: views of results and of measurements.
#include "condition.hpp"
#include "document.hpp"
#include "results.hpp"
#include "verbs.hpp"

#include "jevons/core/error.hpp"
#include "jevons/reports/fit_report.hpp"
#include "jevons/reports/format.hpp"
#include "jevons/reports/html.hpp"
#include "jevons/reports/result_json.hpp"
#include "jevons/reports/scenario_json.hpp"
#include "jevons/reports/serving_fit.hpp"
#include "jevons/reports/validation.hpp"
#include "jevons/sim/run.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <map>

namespace jevons::cli {
namespace {

/// A saved result is read, a scenario is run.
void load_results(const std::string& path, const hwmodels::Catalogue& catalogue,
                  std::vector<sim::Result>& out) {
  const std::string name = path == "-" ? "standard input" : path;
  const Json document = parse_json(read_input(path), name);
  const bool has_schema = document.is_object() && document.contains("schema");
  if (has_schema && document["schema"] == "jevons.result/1") {
    out.push_back(reports::result_from_json(document, name, catalogue));
    return;
  }
  if (has_schema && document["schema"] == "jevons.results/1") {
    if (!document.contains("results") || !document["results"].is_array()) {
      throw bad_input(name + ": /results", "expected an array of results");
    }
    for (const Json& item : document["results"]) {
      out.push_back(reports::result_from_json(item, name, catalogue));
    }
    return;
  }
  if (has_schema && document["schema"] != "jevons.scenario/1") {
    throw bad_input(name + ": /schema", "read " + document["schema"].dump(),
                    "allowed: jevons.result/1, jevons.results/1 or jevons.scenario/1");
  }
  out.push_back(sim::run(reports::read_scenario(document, name, catalogue)));
}

/// Every leaf of a document by its path.
void flatten(const Json& value, const std::string& path, std::map<std::string, std::string>& out) {
  if (value.is_object()) {
    for (const auto& [key, child] : value.items()) {
      flatten(child, path.empty() ? key : path + "." + key, out);
    }
  } else {
    out[path] = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
}

Json changed_inputs(const sim::Result& a, const sim::Result& b) {
  std::map<std::string, std::string> left, right;
  flatten(reports::write_scenario(a.scenario), "", left);
  flatten(reports::write_scenario(b.scenario), "", right);
  Json out = Json::array();
  const auto text = [](const std::string* value) {
    return value ? Json::parse(*value) : Json(nullptr);
  };
  std::map<std::string, std::pair<const std::string*, const std::string*>> all;
  for (const auto& [path, value] : left) all[path].first = &value;
  for (const auto& [path, value] : right) all[path].second = &value;
  for (const auto& [path, pair] : all) {
    if (path == "name") continue;
    if (pair.first && pair.second && *pair.first == *pair.second) continue;
    out.push_back(Json{{"path", path}, {"before", text(pair.first)}, {"after", text(pair.second)}});
  }
  return out;
}

struct Change {
  std::string metric;
  std::optional<double> before, after;
};

std::vector<Change> changed_metrics(const sim::Result& a, const sim::Result& b) {
  std::vector<Change> changes;
  const auto number = [](const sim::Result& result, const std::string& name) {
    const auto value = result.metrics.number(name);
    return value && std::isfinite(*value) ? value : std::nullopt;
  };
  for (const auto& item : a.metrics.items()) {
    changes.push_back({item.name, number(a, item.name), number(b, item.name)});
  }
  for (const auto& item : b.metrics.items()) {
    if (!a.metrics.number(item.name))
      changes.push_back({item.name, std::nullopt, number(b, item.name)});
  }
  return changes;
}

std::optional<double> relative(const Change& change) {
  if (!change.before || !change.after || *change.before == 0) return std::nullopt;
  return *change.after / *change.before - 1;
}

std::string diff_text(const sim::Result& a, const sim::Result& b) {
  std::string out = "- " + reports::printable(a.scenario.name) + "\n+ " +
                    reports::printable(b.scenario.name) + "\n\nInputs\n";
  for (const Json& input : changed_inputs(a, b)) {
    const char* sign = input["before"].is_null() ? "+" : input["after"].is_null() ? "-" : "~";
    out += fmt::format("{} {}: {} -> {}\n", sign, input["path"].get<std::string>(),
                       reports::printable(input["before"].dump()),
                       reports::printable(input["after"].dump()));
  }
  reports::TextTable table({"", "metric", "before", "after", "change"}, 2);
  long same = 0;
  for (const Change& change : changed_metrics(a, b)) {
    const std::optional<double> part = relative(change);
    if (change.before && change.after && *change.before == *change.after) {
      ++same;
      continue;
    }
    const auto shown = [&](const std::optional<double>& value) {
      return value ? reports::format_metric(change.metric, *value) : std::string("-");
    };
    table.row({!change.before  ? "+"
               : !change.after ? "-"
                               : "~",
               change.metric, shown(change.before), shown(change.after),
               part ? fmt::format("{:+.1f} %", 100 * *part) : ""});
  }
  out += "\nMetrics\n" + table.text("");
  if (same > 0) out += fmt::format("{} unchanged\n", same);
  return out;
}

Json diff_json(const sim::Result& a, const sim::Result& b) {
  Json out = Json::object();
  out["schema"] = "jevons.diff/1";
  out["inputs"] = changed_inputs(a, b);
  out["metrics"] = Json::object();
  for (const Change& change : changed_metrics(a, b)) {
    const std::optional<double> part = relative(change);
    out["metrics"][change.metric] =
        Json{{"before", change.before ? Json(*change.before) : Json(nullptr)},
             {"after", change.after ? Json(*change.after) : Json(nullptr)},
             {"change", part ? Json(*part) : Json(nullptr)}};
  }
  return out;
}

/// Of a diff: a change in per cent, or the new value.
std::string failed_change(const Condition& condition, const sim::Result& a, const sim::Result& b) {
  if (!condition.is_change) return failed(condition, b);
  const Change change{condition.metric, a.metrics.number(condition.metric),
                      b.metrics.number(condition.metric)};
  if (!change.before || !change.after) {
    throw Error(ErrorKind::usage, "--fail-if " + condition.text,
                "both results must have the metric '" + condition.metric + "'");
  }
  const std::optional<double> part = relative(change);
  if (part && !holds(condition, 100 * *part)) return {};
  return "check failed: " + condition.text + ", the change is " +
         (part ? fmt::format("{:+.2f} %", 100 * *part) : "without a base");
}

reports::Validation cross_validate(std::span<const reports::TruthCase> cases,
                                   const hwmodels::Catalogue& catalogue, const Options& options) {
  if (options.event || options.analytic || !options.groups.empty()) {
    throw Error(ErrorKind::usage, "validate --cross", "it takes no --event, --analytic or --group");
  }
  sim::CrossOptions how;
  how.threads = options.threads;
  const auto any = [&](std::string_view task) {
    return std::any_of(cases.begin(), cases.end(), [&](const auto& truth) {
      return parse_json(truth.scenario, truth.file).value("task", "") == task;
    });
  };
  const bool operators = any("op"), steps = any("train"), runs = any("serve");
  if (static_cast<int>(operators) + static_cast<int>(steps) + static_cast<int>(runs) > 1) {
    throw Error(ErrorKind::usage, "validate --cross",
                "operators, training steps or serving runs at once",
                "give the files of one of them");
  }
  if (operators) {
    return reports::cross_validation(reports::fit_input(cases, catalogue), catalogue, how);
  }
  how.fit.prior = 2;  // what the rows say, hardly where they start
  how.fit.most_iterations = 6;
  if (runs) {
    how.fit.most_iterations = 4;
    return reports::serving_cross_validation(
        reports::serving_fit_input(cases, catalogue, {"tpot_"}), how);
  }
  return reports::training_cross_validation(reports::training_input(cases, catalogue), catalogue,
                                            how);
}

int check_all(const std::vector<std::string>& sentences) {
  int code = 0;
  for (const std::string& sentence : sentences) {
    if (sentence.empty()) continue;
    note(sentence + "\n");
    code = 1;
  }
  return code;
}

}  // namespace

int report_verb(const Options& options) {
  ResultOutputs outputs(options);
  const hwmodels::Catalogue catalogue;
  std::vector<sim::Result> results;
  for (const std::string& input : options.inputs) load_results(input, catalogue, results);
  outputs.write(results, {.color = use_color(), .operators = false, .formulas = false});
  for (const sim::Result& result : results) {
    if (result.infeasible) return report_infeasible(result);
  }
  return 0;
}

int diff_verb(const Options& options) {
  if (options.inputs.size() != 2) {
    throw Error(ErrorKind::usage, "diff", "two result or scenario files are expected");
  }
  std::optional<OutputFile> json;
  if (options.json) json.emplace("--json", *options.json);
  std::vector<Condition> conditions;
  for (const std::string& text : options.fail_if) conditions.push_back(parse_condition(text, true));
  const hwmodels::Catalogue catalogue;
  std::vector<sim::Result> results;
  for (const std::string& input : options.inputs) load_results(input, catalogue, results);
  if (results.size() != 2) throw bad_input("diff", "each file must hold one result");
  if (json) json->write(dump(diff_json(results[0], results[1])));
  if (!options.json || *options.json != "-") print(diff_text(results[0], results[1]));
  std::vector<std::string> sentences;
  for (const Condition& condition : conditions) {
    sentences.push_back(failed_change(condition, results[0], results[1]));
  }
  return check_all(sentences);
}

int validate_verb(const Options& options) {
  ResultOutputs outputs(options);
  std::vector<reports::TruthCase> cases;
  for (const std::string& input : options.inputs) {
    std::vector<reports::TruthCase> more = reports::read_truth(input);
    cases.insert(cases.end(), more.begin(), more.end());
  }
  reports::ValidationOptions how;
  how.group_prefixes = options.groups;
  how.threads = options.threads;
  how.run.resolution = resolution_of(options);
  const hwmodels::Catalogue catalogue;
  const reports::Validation validation = options.cross ? cross_validate(cases, catalogue, options)
                                                       : reports::validate(cases, catalogue, how);
  if (outputs.wants_json()) outputs.write_json(reports::validation_to_json(validation));
  if (outputs.wants_html()) {
    outputs.write_html(reports::validation_to_html(
        validation,
        {.title = "Validation", .command = options.command, .version = JEVONS_VERSION}));
  }
  if (outputs.wants_table()) {
    print(options.markdown ? reports::validation_to_markdown(validation)
                           : reports::validation_to_text(validation));
  }
  std::vector<std::string> sentences;
  for (const std::string& condition : options.fail_if) {
    sentences.push_back(reports::failed_condition(validation, condition));
  }
  return check_all(sentences);
}

}  // namespace jevons::cli
