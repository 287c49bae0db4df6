// The resolved scenario as JSON: reading it back gives the same scenario.
#include "scenario_parts.hpp"

#include "jevons/reports/scenario_json.hpp"

#include <array>
#include <utility>

namespace jevons::reports {
namespace {

std::string_view topology_name(hwmodels::Topology topology) {
  switch (topology) {
    case hwmodels::Topology::fat_tree: return "fat-tree";
    case hwmodels::Topology::rail: return "rail";
    case hwmodels::Topology::torus_2d: return "torus-2d";
    case hwmodels::Topology::torus_3d: return "torus-3d";
    case hwmodels::Topology::dragonfly: break;
  }
  return "dragonfly";
}

Json parsed(const std::string& text, const std::string& fallback) {
  return text.empty() ? Json(fallback) : Json::parse(text);
}

Json write_cluster(const sim::Scenario& scenario) {
  const hwmodels::ClusterOverrides& given = scenario.origin.overrides;
  Json out = Json::object();
  out["accelerator"] = parsed(scenario.origin.accelerator, scenario.cluster.accelerator.id);
  out["count"] = scenario.cluster.count;
  const auto put = [&](const char* key, const auto& value) {
    if (value) out[key] = number_json(static_cast<double>(*value));
  };
  put("accelerators_per_node", given.accelerators_per_node);
  put("scale_up_domain", given.scale_up_domain);
  put("scale_up_bytes_per_s", given.scale_up_bytes_per_s);
  put("scale_out_bytes_per_s", given.scale_out_bytes_per_s);
  put("memory_bytes", given.memory_bytes);
  put("memory_bytes_per_s", given.memory_bytes_per_s);
  put("compute_units", given.compute_units);
  put("power_cap_w", given.power_cap_w);
  put("oversubscription", given.oversubscription);
  if (given.topology) out["topology"] = topology_name(*given.topology);
  return out;
}

}  // namespace

Json write_scenario(const sim::Scenario& scenario) {
  Json out = Json::object();
  out["schema"] = "jevons.scenario/1";
  out["name"] = scenario.name;
  out["task"] = sim::to_string(scenario.task);
  if (!scenario.origin.model.empty()) out["model"] = Json::parse(scenario.origin.model);
  if (!scenario.origin.model_overrides.empty()) {
    out["model_overrides"] = Json::parse(scenario.origin.model_overrides);
  }
  out["cluster"] = write_cluster(scenario);
  out["precision"] = write_precision(scenario.precision);
  if (scenario.task != sim::Task::op) out["parallelism"] = write_layout(scenario.parallelism);
  out["stack"] =
      scenario.origin.stack_file.empty() ? scenario.stack.id : scenario.origin.stack_file;
  switch (scenario.task) {
    case sim::Task::train: out["train"] = write_train(scenario); break;
    case sim::Task::serve: out["serve"] = write_serve(scenario); break;
    case sim::Task::op: out["op"] = write_op(scenario.op.op); break;
  }
  if (scenario.task != sim::Task::op) out["price"] = write_price(scenario.price);
  Json power = Json::object();
  power["pue"] = number_json(scenario.power.pue);
  power["grid_gco2e_per_kwh"] = number_json(scenario.power.grid_gco2e_per_kwh);
  if (scenario.power.host_w_per_accelerator) {
    power["host_w_per_accelerator"] = number_json(*scenario.power.host_w_per_accelerator);
  }
  out["power"] = std::move(power);
  out["seed"] = scenario.seed;
  return out;
}

}  // namespace jevons::reports
