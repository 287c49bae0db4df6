// Scenario keys `model` and `model_overrides`.
#include "scenario_parts.hpp"

#include "jevons/core/error.hpp"

namespace jevons::reports {
namespace {

std::string name_of_config(const Json& config, const std::string& fallback) {
  for (const char* key : {"name", "_name_or_path", "model_type"}) {
    const auto found = config.find(key);
    if (found != config.end() && found->is_string() && !found->get<std::string>().empty()) {
      return found->get<std::string>();
    }
  }
  return fallback;
}

}  // namespace

workloads::ModelConfig resolve_model(ScenarioReader& in, const Json& value, const Json* overrides,
                                     const std::string& pointer, std::string& origin) {
  const std::string where = in.at(pointer);
  if (overrides != nullptr && !overrides->is_null() && !overrides->is_object()) {
    throw bad_input(in.at("/model_overrides"), "expected an object of config.json keys");
  }
  if (value.is_object()) {
    const Json config = overrides == nullptr ? value
                                             : workloads::with_overrides(value, *overrides,
                                                                         in.at("/model_overrides"));
    origin = config.dump();
    workloads::ModelConfig model = workloads::model_from_config(config, in.file, pointer);
    if (model.id.empty()) model.id = name_of_config(config, "inline");
    if (model.name.empty()) model.name = model.id;
    return model;
  }
  if (!value.is_string()) {
    throw bad_input(where, "expected a preset id, the path of a config.json, or an object",
                    "`jevons list models` prints the presets");
  }
  const std::string text = value.get<std::string>();
  if (is_path(text)) {
    const std::string path = in.resolve(text);
    const Json none = nullptr;
    const Json& changes = overrides == nullptr ? none : *overrides;
    Json config = parse_json(read_text_file(path), path);
    if (config.is_object() && config.contains("schema") && config.contains("config")) {
      config = Json(config.at("config"));  // a file in the form of the presets
    }
    origin = workloads::with_overrides(config, changes, in.at("/model_overrides")).dump();
    return workloads::model(path, changes, in.at("/model_overrides"));
  }
  origin = value.dump();
  if (overrides == nullptr || overrides->is_null()) return workloads::model(text, where);
  return workloads::model(text, *overrides, in.at("/model_overrides"));
}

void read_model(ScenarioReader& in, ObjectReader& root) {
  const Json* value = root.raw("model");
  const Json* overrides = root.raw("model_overrides");
  if (value == nullptr || value->is_null()) {
    if (in.out.task == sim::Task::op && (overrides == nullptr || overrides->is_null())) return;
    throw bad_input(root.where(), "missing key 'model'",
                    "a preset id (`jevons list models`), the path of a Hugging Face config.json, "
                    "or the config as an object");
  }
  in.out.model = resolve_model(in, *value, overrides, "/model", in.out.origin.model);
  // An object or a file is written back with its overrides in it.
  if (overrides != nullptr && !overrides->is_null() && in.out.origin.model.starts_with("\"")) {
    in.out.origin.model_overrides = overrides->dump();
  }
}

}  // namespace jevons::reports
