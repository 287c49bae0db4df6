// jevons.result/1 out of a Result. Everything printed elsewhere is a view of this document.
#include "jevons/reports/result_json.hpp"

#include "scenario_parts.hpp"

#include "jevons/reports/scenario_json.hpp"
#include "jevons/reports/sha256.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

namespace jevons::reports {
namespace {

/// Collects the values that are no numbers, for the warnings.
class Writer {
 public:
  explicit Writer(const sim::Result& result) : result_(result), warnings_(result.warnings) {}

  Json number(double value, const std::string& path) {
    if (std::isfinite(value)) return number_json(value);
    warnings_.push_back({"not_a_number",
                         "the computation gave " +
                             std::string(std::isnan(value) ? "no number" : "infinity") +
                             "; null is written",
                         path});
    return nullptr;
  }

  Json metrics() {
    Json out = Json::object();
    for (const sim::Metrics::Item& item : result_.metrics.items()) {
      if (const auto* value = std::get_if<double>(&item.value)) {
        out[item.name] = number(*value, "/metrics/" + item.name);
      } else if (const auto* flag = std::get_if<bool>(&item.value)) {
        out[item.name] = *flag;
      } else {
        out[item.name] = std::get<std::string>(item.value);
      }
    }
    return out;
  }

  Json part(const sim::Breakdown& node, const std::string& path) {
    Json out = Json::object();
    out["value"] = number(node.value, path + "/value");
    out["unit"] = node.unit;
    if (!node.formula.empty()) out["formula"] = node.formula;
    if (!node.children.empty()) out["parts"] = parts(node.children, path + "/parts");
    return out;
  }

  Json parts(const std::vector<sim::Breakdown>& nodes, const std::string& path) {
    Json out = Json::object();
    for (const sim::Breakdown& node : nodes) {
      std::string key = node.name;
      for (int copy = 2; out.contains(key); ++copy) key = node.name + " " + std::to_string(copy);
      out[key] = part(node, path + "/" + key);
    }
    return out;
  }

  Json operators() {
    Json out = Json::array();
    for (const sim::OperatorRow& row : result_.operators) {
      const std::string path = "/breakdown/operators/" + std::to_string(out.size());
      Json item = Json::object();
      item["name"] = row.name;
      item["kind"] = row.kind;
      item["phase"] = row.phase;
      item["format"] = row.format;
      item["bound"] = row.bound;
      item["calls"] = number(row.calls, path + "/calls");
      item["time_s"] = number(row.time_s, path + "/time_s");
      item["flops"] = number(row.flops, path + "/flops");
      item["bytes"] = number(row.bytes, path + "/bytes");
      item["peak_flops_per_s"] = number(row.peak_flops_per_s, path + "/peak_flops_per_s");
      if (!row.formula.empty()) item["formula"] = row.formula;
      out.push_back(std::move(item));
    }
    return out;
  }

  Json warnings() {
    const sim::Scenario& scenario = result_.scenario;
    if (scenario.task != sim::Task::op && scenario.price.basis == sim::PriceSpec::Basis::rental &&
        !scenario.price.usd_per_accelerator_hour) {
      warn_once({"no_price",
                 "no rental price of " + scenario.cluster.accelerator.id +
                     " is known: no cost is computed; give price.usd_per_accelerator_hour",
                 "/price/usd_per_accelerator_hour"});
    }
    Json out = Json::array();
    for (const sim::Warning& warning : warnings_) {
      out.push_back(
          Json{{"code", warning.code}, {"message", warning.message}, {"path", warning.path}});
    }
    return out;
  }

 private:
  void warn_once(sim::Warning warning) {
    const bool known = std::any_of(warnings_.begin(), warnings_.end(),
                                   [&](const sim::Warning& w) { return w.code == warning.code; });
    if (!known) warnings_.push_back(std::move(warning));
  }

  const sim::Result& result_;
  std::vector<sim::Warning> warnings_;
};

/// A number where the text is one, else the text.
Json value_json(const std::string& text) {
  double value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole_text = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
  if (text == "null") return nullptr;
  return whole_text && std::isfinite(value) ? number_json(value) : Json(text);
}

Json provenance_json(const sim::Result& result) {
  Json out = Json::array();
  std::set<std::string> seen;
  const auto add = [&](const sim::InputSource& input, bool by_default) {
    if (!seen.insert(input.path).second) return;
    Json item{{"path", input.path},
              {"value", value_json(input.value)},
              {"source", input.source.text},
              {"mark", to_string(input.source.mark)}};
    if (by_default) item["taken_by_default"] = true;
    out.push_back(std::move(item));
  };
  for (const sim::InputSource& input : result.scenario.inputs) add(input, true);
  for (const sim::InputSource& input : result.provenance) add(input, false);
  return out;
}

}  // namespace

Json result_to_json(const sim::Result& result, std::string_view version) {
  Writer writer(result);
  Json out = Json::object();
  out["schema"] = "jevons.result/1";
  out["tool"] = Json{{"name", "jevons"}, {"version", version}};
  out["inputs"] = write_scenario(result.scenario);
  out["inputs_sha256"] = sha256(out["inputs"].dump());
  out["metrics"] = writer.metrics();
  out["breakdown"] = writer.parts(result.breakdown, "/breakdown");
  if (!result.operators.empty()) out["breakdown"]["operators"] = writer.operators();
  out["provenance"] = provenance_json(result);
  out["warnings"] = writer.warnings();
  if (result.infeasible) {
    out["infeasible"] = Json{{"reason", result.infeasible->reason},
                             {"smallest_change", result.infeasible->smallest_change}};
  }
  return out;
}

}  // namespace jevons::reports
