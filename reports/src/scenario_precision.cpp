// Scenario key `precision`: a preset, or an object that names each tensor class.
#include "scenario_parts.hpp"

#include "jevons/core/error.hpp"

#include <array>
#include <utility>

namespace jevons::reports {
namespace {

using Member = NumberFormat Precision::*;
constexpr std::array<std::pair<std::string_view, Member>, 10> kClasses{{
    {"gemm", &Precision::gemm},
    {"attention", &Precision::attention},
    {"weights", &Precision::weights},
    {"activations", &Precision::activations},
    {"kv_cache", &Precision::kv_cache},
    {"dispatch", &Precision::dispatch},
    {"combine", &Precision::combine},
    {"gradients", &Precision::gradients},
    {"master", &Precision::master},
    {"moments", &Precision::moments},
}};

NumberFormat read_format(const Json& value, const std::string& where) {
  if (value.is_string()) return format_from_string(value.get<std::string>(), where);
  if (value.is_number()) return format_from_string(value.dump(), where);
  throw bad_input(where, "expected a number format or a number of bits, read " +
                             value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Precision read_classes(ObjectReader object) {
  const std::string preset = object.string_or("preset", "bf16");
  Precision precision = precision_preset(preset, object.where("preset"));
  for (const auto& [key, member] : kClasses) {
    const Json* value = object.raw(key);
    if (value == nullptr || value->is_null()) continue;
    precision.*member = read_format(*value, object.where(key));
  }
  object.finish();
  return precision;
}

/// Serving takes the published weights; training starts from bf16.
std::string default_preset(const sim::Scenario& scenario) {
  const auto& published = scenario.model.published_weights;
  if (scenario.task != sim::Task::serve || !published) return "bf16";
  const std::string name = to_string(*published);
  for (const std::string& preset : precision_presets()) {
    if (preset == name) return name;
  }
  return "bf16";
}

}  // namespace

void read_precision(ScenarioReader& in, ObjectReader& root) {
  const Json* value = root.raw("precision");
  if (value == nullptr || value->is_null()) {
    const std::string preset = default_preset(in.out);
    in.out.precision = precision_preset(preset, root.where("precision"));
    in.took("/precision", preset,
            preset == "bf16" ? "default" : "format of the published weights of this model");
  } else if (value->is_string()) {
    in.out.precision = precision_preset(value->get<std::string>(), root.where("precision"));
  } else {
    in.out.precision = read_classes(root.object("precision"));
  }
}

void choose_kv_cache(ScenarioReader& in, const ObjectReader& root) {
  const auto found = root.value().find("precision");
  const bool told = found != root.value().end() && found->is_object() &&
                    found->find("kv_cache") != found->end() && !found->at("kv_cache").is_null();
  Precision& p = in.out.precision;
  if (told || !in.out.stack.flag("serve_kv_cache_fp8")) return;
  if (!is_float8(p.weights) && p.weights.format != Format::nvfp4) return;
  p.kv_cache = {Format::fp8, 0};
  in.took("/precision/kv_cache", "fp8",
          "stack " + in.out.stack.id + ": its fp8 and nvfp4 checkpoints hold an fp8 cache");
}

std::string precision_words(const Precision& precision) {
  if (precision == precision_preset(precision.preset, "")) return precision.preset;
  return "gemm " + to_string(precision.gemm) + ", weights " + to_string(precision.weights) +
         ", KV cache " + to_string(precision.kv_cache);
}

Json write_precision(const Precision& precision) {
  Json out = Json::object();
  out["preset"] = precision.preset;
  for (const auto& [key, member] : kClasses) {
    const NumberFormat format = precision.*member;
    if (format.format == Format::bits) {
      out[std::string(key)] = number_json(format.custom_bits);
    } else {
      out[std::string(key)] = to_string(format);
    }
  }
  return out;
}

}  // namespace jevons::reports
