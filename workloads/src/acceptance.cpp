#include "jevons/workloads/acceptance.hpp"

#include "jevons/core/error.hpp"
#include "jevons/core/json_reader.hpp"
#include "jevons/workloads/embedded.hpp"

#include <nlohmann/json.hpp>

#include <array>

namespace jevons::workloads {
namespace {

std::vector<double> numbers(ObjectReader& object, std::string_view key) {
  const Json* list = object.raw(key);
  if (list == nullptr || !list->is_array() || list->empty()) {
    throw bad_input(object.where(key), "expected a list of numbers");
  }
  std::vector<double> out;
  for (const Json& item : *list) {
    if (!item.is_number()) throw bad_input(object.where(key), "read " + item.dump(), "numbers");
    out.push_back(item.get<double>());
  }
  return out;
}

AcceptanceCurve read(const EmbeddedFile& file) {
  const std::string name(file.path);
  const Json document = parse_json(file.text, name);
  ObjectReader object(document, name);
  static constexpr std::array<std::string_view, 1> kSchemas{"jevons.acceptance/1"};
  static constexpr std::array<std::string_view, 3> kMethods{"mtp", "draft", "ngram"};
  (void)object.choice("schema", kSchemas);
  AcceptanceCurve curve;
  curve.id = object.string("id");
  curve.name = object.string("name");
  curve.method = object.choice("method", kMethods);
  curve.acceptance = numbers(object, "acceptance");
  curve.measured_tokens_per_step = numbers(object, "measured_tokens_per_step");
  curve.source = {object.string("source"),
                  mark_from_string(object.string("mark"), object.where("mark"))};
  object.finish();
  return curve;
}

}  // namespace

const std::vector<AcceptanceCurve>& acceptance_curves() {
  static const std::vector<AcceptanceCurve> curves = [] {
    std::vector<AcceptanceCurve> out;
    for (const EmbeddedFile& file : acceptance_files()) out.push_back(read(file));
    return out;
  }();
  return curves;
}

const AcceptanceCurve& acceptance_curve(std::string_view id, std::string_view where) {
  std::vector<std::string> names;
  for (const AcceptanceCurve& curve : acceptance_curves()) {
    if (curve.id == id) return curve;
    names.push_back(curve.id);
  }
  throw bad_input(std::string(where), "unknown acceptance curve '" + std::string(id) + "'",
                  did_you_mean(id, names));
}

}  // namespace jevons::workloads
