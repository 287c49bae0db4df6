#include "document.hpp"

#include "jevons/core/error.hpp"
#include "jevons/reports/scenario_json.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <iostream>
#include <sstream>

namespace jevons::cli {
namespace {

constexpr const char* kCommandLine = "command line";

Error usage(std::string where, std::string message, std::string hint = {}) {
  return {ErrorKind::usage, std::move(where), std::move(message), std::move(hint)};
}

/// A value as the command line gives it: JSON where it is JSON, else a text.
Json read_value(const std::string& text, Value kind) {
  if (kind == Value::text) return text;
  if (Json::accept(text)) return parse_json(text, kCommandLine);
  return text;
}

bool is_scenario(const Json& document) {
  if (!document.is_object()) return false;
  if (document.contains("schema")) return document["schema"] == "jevons.scenario/1";
  return document.contains("task") || document.contains("cluster");
}

/// The base: a scenario file, or a scenario that only names a model.
Json base_document(const Options& options, std::string& file) {
  Json base = Json::object();
  file = kCommandLine;
  if (options.inputs.empty()) return base;
  if (options.inputs.size() > 1) {
    throw usage("", "one scenario or model is expected, got " +
                        std::to_string(options.inputs.size()) + ": '" + options.inputs[1] + "'");
  }
  const std::string& input = options.inputs.front();
  if (!names_file(input)) {
    base["model"] = input;
    return base;
  }
  const std::string name = input == "-" ? "standard input" : input;
  Json document = parse_json(read_input(input), name);
  if (is_scenario(document) || input == "-") {
    file = name;
    return document;
  }
  const bool other =
      document.is_object() && document.contains("schema") && document["schema"] != "jevons.model/1";
  if (other) {
    throw bad_input(name + ": /schema", "read " + document["schema"].dump() + ", not a scenario",
                    "allowed: \"jevons.scenario/1\"");
  }
  base["model"] = input;  // a config.json
  return base;
}

void apply_flags(Json& document, const Options& options) {
  for (const GivenFlag& given : options.flags) {
    const ScenarioFlag& flag = *given.flag;
    if (const std::size_t equals = flag.implies.find('='); equals != std::string_view::npos) {
      set_path(document, flag.implies.substr(0, equals),
               std::string(flag.implies.substr(equals + 1)));
    }
    const Value kind = flag.value == Value::on ? Value::json : flag.value;
    set_path(document, flag.path, read_value(given.value, kind));
  }
}

void apply_sets(Json& document, const Options& options) {
  for (const std::string& set : options.sets) {
    const std::size_t equals = set.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw usage("--set " + set, "expected PATH=VALUE", "for example --set train.mtp=false");
    }
    set_path(document, std::string_view(set).substr(0, equals),
             read_value(set.substr(equals + 1), Value::json));
  }
}

/// "command line: /cluster/count" → "cluster.count".
std::string dotted(const std::string& where) {
  const std::size_t at = where.find(": /");
  if (at == std::string::npos) return {};
  std::string path = where.substr(at + 3);
  std::replace(path.begin(), path.end(), '/', '.');
  return path;
}

/// Index into an array, or -1.
long index_of(std::string_view part) {
  if (part.empty() || part.size() > 6) return -1;
  long index = 0;
  for (const char c : part) {
    if (c < '0' || c > '9') return -1;
    index = 10 * index + (c - '0');
  }
  return index;
}

Json& step_into(Json& at, const std::string& part, std::string_view path) {
  if (at.is_array()) {
    const long index = index_of(part);
    if (index < 0 || static_cast<std::size_t>(index) >= at.size()) {
      throw usage("--set " + std::string(path),
                  "'" + part + "' is no index of an array of " + std::to_string(at.size()));
    }
    return at[static_cast<std::size_t>(index)];
  }
  if (at.is_null()) at = Json::object();
  if (!at.is_object()) {
    throw usage("--set " + std::string(path), "cannot set '" + part + "' inside " + at.dump());
  }
  return at[part];
}

}  // namespace

bool names_file(std::string_view argument) {
  return argument == "-" || argument.find('/') != std::string_view::npos ||
         argument.ends_with(".json");
}

std::string read_input(const std::string& path) {
  if (path != "-") return read_text_file(path);
  std::ostringstream text;
  text << std::cin.rdbuf();
  return text.str();
}

void set_path(Json& document, std::string_view path, Json value) {
  Json* at = &document;
  std::string_view rest = path;
  while (true) {
    const std::size_t dot = rest.find('.');
    const std::string part(rest.substr(0, dot));
    if (part.empty()) throw usage("--set " + std::string(path), "an empty name in the path");
    at = &step_into(*at, part, path);
    if (dot == std::string_view::npos) break;
    rest = rest.substr(dot + 1);
    // A preset may be refined: precision.kv_cache of "fp8".
    if (part == "precision" && at->is_string()) {
      Json object = Json::object();
      object["preset"] = *at;
      *at = std::move(object);
    }
  }
  *at = std::move(value);
}

Json scenario_document(const Options& options, std::string_view task, std::string& file) {
  Json document = base_document(options, file);
  if (!document.is_object()) {
    throw bad_input(file + ": /", "a scenario must be an object");
  }
  if (!task.empty()) {
    if (!document.contains("task") || document["task"].is_null()) {
      document["task"] = task;
    } else if (document["task"].is_string() && document["task"] != Json(task)) {
      throw bad_input(file + ": /task",
                      "the scenario's task is '" + document["task"].get<std::string>() +
                          "', the verb is for '" + std::string(task) + "'",
                      "jevons train, serve and roofline run one task each");
    }
  }
  apply_flags(document, options);
  apply_sets(document, options);
  // The section that was set says what is asked: --set op.kind=gemm needs no --task op.
  if (!document.contains("task")) document["task"] = document.contains("op") ? "op" : options.task;
  if (options.seed) document["seed"] = *options.seed;
  return document;
}

sim::Resolution resolution_of(const Options& options) {
  if (options.event) return sim::Resolution::event;
  return options.analytic ? sim::Resolution::analytic : sim::Resolution::automatic;
}

sim::Scenario resolve(const Json& document, const std::string& file, const Options& options,
                      const hwmodels::Catalogue& catalogue) {
  if (file == kCommandLine && !document.contains("cluster")) {
    throw Error(ErrorKind::usage, "", "no accelerator given",
                "--hw ID --count N, or a scenario file; `jevons list hardware` prints the ids");
  }
  try {
    return reports::read_scenario(document, file, catalogue);
  } catch (const Error& error) {
    const std::string path = dotted(error.where());
    for (const GivenFlag& given : options.flags) {
      if (path.empty() || given.flag->path != path) continue;
      throw Error(error.kind(), error.where() + " (" + main_name(*given.flag) + ")",
                  error.message(), error.hint());
    }
    throw;
  }
}

}  // namespace jevons::cli
