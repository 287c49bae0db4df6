// Scenario key `cluster`: the SKU, how many, and what differs from its data file.
#include "scenario_parts.hpp"

#include "jevons/core/error.hpp"

#include <array>
#include <utility>

namespace jevons::reports {
namespace {

constexpr std::array<std::pair<std::string_view, hwmodels::Topology>, 5> kTopologies{{
    {"fat-tree", hwmodels::Topology::fat_tree},
    {"rail", hwmodels::Topology::rail},
    {"torus-2d", hwmodels::Topology::torus_2d},
    {"torus-3d", hwmodels::Topology::torus_3d},
    {"dragonfly", hwmodels::Topology::dragonfly},
}};

hwmodels::Accelerator read_sku(ScenarioReader& in, ObjectReader& cluster) {
  const Json* value = cluster.raw("accelerator");
  const std::string where = cluster.where("accelerator");
  if (value == nullptr || value->is_null()) {
    throw bad_input(
        cluster.where(), "missing key 'accelerator'",
        "a preset id (`jevons list hardware`), the path of a SKU file, or the SKU as an "
        "object");
  }
  in.out.origin.accelerator = value->dump();
  if (value->is_object()) {
    return in.catalogue.accelerator(*value, in.file, cluster.pointer() + "/accelerator");
  }
  if (!value->is_string()) throw bad_input(where, "expected a preset id, a path or an object");
  const std::string text = value->get<std::string>();
  if (!is_path(text)) return in.catalogue.accelerator(text, where);
  const std::string path = in.resolve(text);
  const Json object = parse_json(read_text_file(path), path);
  in.out.origin.accelerator = object.dump();
  return in.catalogue.accelerator(object, path, "");
}

std::optional<hwmodels::Topology> read_topology(ObjectReader& cluster) {
  if (!cluster.has_value("topology")) {
    cluster.ignore("topology");
    return std::nullopt;
  }
  std::vector<std::string_view> names;
  for (const auto& [name, unused] : kTopologies) names.push_back(name);
  const std::string text = cluster.choice("topology", names);
  for (const auto& [name, value] : kTopologies) {
    if (name == text) return value;
  }
  return std::nullopt;
}

hwmodels::ClusterOverrides read_overrides(ObjectReader& cluster) {
  hwmodels::ClusterOverrides given;
  given.accelerators_per_node = cluster.optional_integer("accelerators_per_node", 1, 100000);
  given.scale_up_domain = cluster.optional_integer("scale_up_domain", 1, 10000000);
  const Range rate{0.0, 1e15, true};
  given.scale_out_bytes_per_s =
      cluster.optional_number("scale_out_bytes_per_s", rate, UnitKind::bytes_per_s);
  given.scale_up_bytes_per_s =
      cluster.optional_number("scale_up_bytes_per_s", rate, UnitKind::bytes_per_s);
  given.memory_bytes = cluster.optional_number("memory_bytes", {1e6, 1e15}, UnitKind::bytes);
  given.memory_bytes_per_s =
      cluster.optional_number("memory_bytes_per_s", {1e6, 1e16}, UnitKind::bytes_per_s);
  given.compute_units = cluster.optional_number("compute_units", {1, 1e7}, UnitKind::count);
  given.power_cap_w = cluster.optional_number("power_cap_w", {1, 1e6}, UnitKind::watts);
  given.topology = read_topology(cluster);
  given.oversubscription = cluster.optional_number("oversubscription", {1, 1000}, UnitKind::count);
  return given;
}

/// The ranks an operator names, else one accelerator; the section itself is checked later.
long op_ranks(const ObjectReader& root) {
  const Json& document = root.value();
  if (!document.contains("op") || !document["op"].is_object()) return 1;
  for (const char* key : {"ranks", "ep"}) {
    const auto found = document["op"].find(key);
    if (found != document["op"].end() && found->is_number_integer() && *found >= 1 &&
        *found <= 100000000) {
      return found->get<long>();
    }
  }
  return 1;
}

}  // namespace

void read_cluster(ScenarioReader& in, ObjectReader& root) {
  ObjectReader cluster = root.object("cluster");
  hwmodels::Accelerator sku = read_sku(in, cluster);
  const bool ask_op = in.out.task == sim::Task::op && !cluster.has_value("count");
  const long count = ask_op ? op_ranks(root) : cluster.integer("count", 1, 100000000);
  if (ask_op) {
    cluster.ignore("count");
    in.took("/cluster/count", static_cast<double>(count), "the ranks of the operator");
  }
  in.out.origin.overrides = read_overrides(cluster);
  cluster.finish();
  in.out.cluster =
      hwmodels::make_cluster(std::move(sku), count, in.out.origin.overrides, cluster.where());
  for (const auto& [name, assumed] : in.out.cluster.assumptions) {
    in.took("/cluster/" + name, assumed.value, assumed.source.text, assumed.source.mark);
  }
}

void read_stack(ScenarioReader& in, ObjectReader& root) {
  const std::optional<std::string> given = root.optional_string("stack");
  if (given) {
    if (is_path(*given)) in.out.origin.stack_file = in.resolve(*given);
    in.out.stack = in.catalogue.stack(is_path(*given) ? in.out.origin.stack_file : *given,
                                      root.where("stack"));
    return;
  }
  const std::string id =
      in.catalogue.default_stack(in.out.cluster.accelerator, sim::to_string(in.out.task));
  in.out.stack = in.catalogue.stack(id, root.where("stack"));
  in.took("/stack", id, "default for this accelerator and task");
}

}  // namespace jevons::reports
