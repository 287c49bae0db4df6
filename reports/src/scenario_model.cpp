// Scenario keys `model` and `model_overrides`.
#include "scenario_parts.hpp"

#include "jevons/core/error.hpp"

namespace jevons::reports {
namespace {

Json merged(Json config, const Json* overrides, const std::string& where) {
  if (overrides == nullptr || overrides->is_null()) return config;
  if (!config.is_object()) throw bad_input(where, "a model config must be an object");
  for (const auto& [key, value] : overrides->items()) config[key] = value;
  return config;
}

std::string name_of_config(const Json& config, const std::string& fallback) {
  for (const char* key : {"name", "_name_or_path", "model_type"}) {
    const auto found = config.find(key);
    if (found != config.end() && found->is_string() && !found->get<std::string>().empty()) {
      return found->get<std::string>();
    }
  }
  return fallback;
}

std::string stem(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  if (name == "config.json" && slash != std::string::npos && slash > 0) {
    return stem(path.substr(0, slash));
  }
  return name.ends_with(".json") ? name.substr(0, name.size() - 5) : name;
}

}  // namespace

workloads::ModelConfig resolve_model(ScenarioReader& in, const Json& value, const Json* overrides,
                                     const std::string& pointer, std::string& origin) {
  const std::string where = in.at(pointer);
  if (overrides != nullptr && !overrides->is_null() && !overrides->is_object()) {
    throw bad_input(in.at("/model_overrides"), "expected an object of config.json keys");
  }
  if (value.is_object()) {
    const Json config = merged(value, overrides, where);
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
    const Json config = merged(parse_json(read_text_file(path), path), overrides, path);
    origin = config.dump();
    workloads::ModelConfig model = workloads::model_from_config(config, path);
    if (model.id.empty()) model.id = stem(path);
    if (model.name.empty()) model.name = model.id;
    return model;
  }
  origin = value.dump();
  if (overrides == nullptr || overrides->is_null()) return workloads::model(text, where);
  return workloads::model(text, *overrides, where);
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
