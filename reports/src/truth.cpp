// Reading of truth files.
#include "jevons/core/error.hpp"
#include "jevons/reports/validation.hpp"

#include <nlohmann/json.hpp>

#include <array>
#include <set>

namespace jevons::reports {
namespace {

TruthCase read_case(const Json& value, const std::string& path, const std::string& pointer) {
  ObjectReader reader(value, path, pointer);
  TruthCase result;
  result.file = path;
  result.id = reader.string("id");
  result.group = reader.string("group");
  result.source = reader.string("source");
  (void)mark_from_string(reader.string("mark"), reader.where("mark"));
  (void)reader.optional_string("note");
  result.scenario = reader.object("scenario").value().dump();
  const ObjectReader measured = reader.object("measured");
  for (const auto& [metric, fact] : measured.value().items()) {
    if (metric.starts_with("x_")) continue;
    if (fact.is_boolean()) {
      result.measured.push_back({metric, fact.get<bool>() ? 1.0 : 0.0, true});
    } else if (fact.is_number()) {
      result.measured.push_back({metric, fact.get<double>(), false});
    } else {
      throw bad_input(measured.where(metric), "expected a number, true or false");
    }
    if (!result.measured.back().is_flag && result.measured.back().value == 0) {
      throw bad_input(measured.where(metric), "a measured value of zero has no relative error");
    }
  }
  if (result.measured.empty()) throw bad_input(measured.where(), "no metric was measured");
  reader.finish();
  return result;
}

}  // namespace

std::vector<TruthCase> read_truth(const std::string& path) {
  const Json document = parse_json(read_text_file(path), path);
  ObjectReader reader(document, path);
  (void)reader.choice("schema", std::array<std::string_view, 1>{"jevons.truth/1"});
  (void)reader.string("name");
  const Json* list = reader.raw("cases");
  if (list == nullptr || !list->is_array())
    throw bad_input(reader.where("cases"), "expected a list");
  std::vector<TruthCase> cases;
  std::set<std::string> ids;
  for (std::size_t i = 0; i < list->size(); ++i) {
    const std::string pointer = "/cases/" + std::to_string(i);
    cases.push_back(read_case((*list)[i], path, pointer));
    if (!ids.insert(cases.back().id).second) {
      throw bad_input(path + ": " + pointer + "/id", "'" + cases.back().id + "' appears twice");
    }
  }
  reader.finish();
  return cases;
}

}  // namespace jevons::reports
