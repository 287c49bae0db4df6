// jevons.result/1 back into a Result: saved results are re-rendered, never recomputed.
#include "scenario_parts.hpp"

#include "jevons/core/error.hpp"
#include "jevons/reports/result_json.hpp"
#include "jevons/reports/scenario_json.hpp"

#include <array>

namespace jevons::reports {
namespace {

using sim::Breakdown;
using sim::Result;

double finite_or_nan(const Json* value) {
  return value != nullptr && value->is_number() ? value->get<double>()
                                                : std::numeric_limits<double>::quiet_NaN();
}

void read_metrics(const ObjectReader& metrics, Result& result) {
  for (const auto& [name, value] : metrics.value().items()) {
    if (value.is_boolean()) {
      result.metrics.set_flag(name, value.get<bool>());
    } else if (value.is_string()) {
      result.metrics.set_text(name, value.get<std::string>());
    } else if (value.is_number() || value.is_null()) {
      result.metrics.set(name, finite_or_nan(&value));
    } else {
      throw bad_input(metrics.where(name), "a metric is a number, true, false, a text or null");
    }
  }
}

Breakdown read_part(const std::string& name, ObjectReader part) {
  Breakdown out;
  out.name = name;
  out.value = finite_or_nan(part.raw("value"));
  out.unit = part.string_or("unit", "");
  out.formula = part.string_or("formula", "");
  if (std::optional<ObjectReader> parts = part.optional_object("parts")) {
    for (const auto& [child, unused] : parts->value().items()) {
      out.children.push_back(read_part(child, parts->object(child)));
    }
  }
  part.finish();
  return out;
}

void read_operators(const Json& list, const std::string& file, Result& result) {
  if (!list.is_array()) throw bad_input(file + ": /breakdown/operators", "expected an array");
  for (std::size_t i = 0; i < list.size(); ++i) {
    ObjectReader item(list[i], file, "/breakdown/operators/" + std::to_string(i));
    sim::OperatorRow row;
    row.name = item.string("name");
    row.kind = item.string_or("kind", "");
    row.phase = item.string_or("phase", "");
    row.format = item.string_or("format", "");
    row.bound = item.string_or("bound", "");
    row.calls = finite_or_nan(item.raw("calls"));
    row.time_s = finite_or_nan(item.raw("time_s"));
    row.flops = finite_or_nan(item.raw("flops"));
    row.bytes = finite_or_nan(item.raw("bytes"));
    row.peak_flops_per_s = finite_or_nan(item.raw("peak_flops_per_s"));
    row.formula = item.string_or("formula", "");
    item.finish();
    result.operators.push_back(std::move(row));
  }
}

void read_breakdown(ObjectReader breakdown, Result& result) {
  for (const auto& [name, value] : breakdown.value().items()) {
    if (name == "operators") {
      read_operators(value, breakdown.file(), result);
    } else {
      result.breakdown.push_back(read_part(name, breakdown.object(name)));
    }
  }
}

void read_provenance(const Json& list, const std::string& file, Result& result) {
  if (!list.is_array()) throw bad_input(file + ": /provenance", "expected an array");
  for (std::size_t i = 0; i < list.size(); ++i) {
    ObjectReader item(list[i], file, "/provenance/" + std::to_string(i));
    sim::InputSource input;
    input.path = item.string("path");
    const Json* value = item.raw("value");
    if (value != nullptr)
      input.value = value->is_string() ? value->get<std::string>() : value->dump();
    input.source.text = item.string_or("source", "");
    input.source.mark = mark_from_string(item.string_or("mark", "assumed"), item.where("mark"));
    const bool by_default = item.boolean_or("taken_by_default", false);
    item.finish();
    (by_default ? result.scenario.inputs : result.provenance).push_back(std::move(input));
  }
}

void read_warnings(const Json& list, const std::string& file, Result& result) {
  if (!list.is_array()) throw bad_input(file + ": /warnings", "expected an array");
  for (std::size_t i = 0; i < list.size(); ++i) {
    ObjectReader item(list[i], file, "/warnings/" + std::to_string(i));
    result.warnings.push_back(
        {item.string("code"), item.string("message"), item.string_or("path", "")});
    item.finish();
  }
}

}  // namespace

sim::Result result_from_json(const Json& document, const std::string& file,
                             const hwmodels::Catalogue& catalogue) {
  ObjectReader root(document, file);
  static constexpr std::array<std::string_view, 1> kSchemas{"jevons.result/1"};
  (void)root.choice("schema", kSchemas);
  root.ignore("tool");
  root.ignore("inputs_sha256");
  const Json* inputs = root.raw("inputs");
  if (inputs == nullptr) throw bad_input(root.where(), "missing key 'inputs'");
  Result result;
  result.scenario = read_scenario(*inputs, file + "#inputs", catalogue);
  result.scenario.inputs.clear();
  read_metrics(root.object("metrics"), result);
  if (auto breakdown = root.optional_object("breakdown")) read_breakdown(*breakdown, result);
  if (const Json* list = root.raw("provenance")) read_provenance(*list, file, result);
  if (const Json* list = root.raw("warnings")) read_warnings(*list, file, result);
  if (auto object = root.optional_object("infeasible")) {
    result.infeasible =
        sim::Infeasible{object->string("reason"), object->string_or("smallest_change", "")};
    object->finish();
  }
  root.finish();
  return result;
}

}  // namespace jevons::reports
