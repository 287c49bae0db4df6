// Reads server power profiles (schema jevons.server/1).
#include "jevons/hwmodels/server.hpp"

#include "parts.hpp"

#include "jevons/core/error.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace jevons::hwmodels {
namespace {

constexpr long kMaxParts = 10000;

Watts watts(ObjectReader& object, std::string_view key) {
  return Watts(object.number(key, kNonNegative, UnitKind::watts));
}

int count(ObjectReader& object, std::string_view key) {
  return static_cast<int>(object.integer(key, 1, kMaxParts));
}

ByWorkload by_workload(ObjectReader& object, std::string_view key) {
  ObjectReader entry = object.object(key);
  const ByWorkload value{watts(entry, "fixed"), watts(entry, "agentic"), watts(entry, "offload")};
  entry.finish();
  return value;
}

ByScaleOut by_scale_out(ObjectReader& object, std::string_view key) {
  ObjectReader entry = object.object(key);
  const ByScaleOut value{watts(entry, "without_scale_out"), watts(entry, "with_scale_out")};
  entry.finish();
  return value;
}

FanSpeed fan_speed(ObjectReader& object) {
  ObjectReader entry = object.object("fan_speed");
  const FanSpeed value{entry.number("floor", kFraction), entry.number("slope", kFraction),
                       entry.number("ceiling", kFraction)};
  entry.finish();
  return value;
}

Curve curve(ObjectReader& object, std::string_view key) {
  const Json* list = object.raw(key);
  if (list == nullptr || !list->is_array() || list->empty()) {
    throw bad_input(object.where(key), "expected a list of [x, y] points");
  }
  Curve result;
  for (const Json& point : *list) {
    if (!point.is_array() || point.size() != 2) {
      throw bad_input(object.where(key), "expected [x, y], read " + point.dump());
    }
    const double x = read_number(point[0], object.where(key));
    if (!result.points.empty() && x <= result.points.back().first) {
      throw bad_input(object.where(key), "x must rise, read " + point.dump());
    }
    result.points.emplace_back(x, read_number(point[1], object.where(key)));
  }
  return result;
}

ChassisProfile read_chassis(ObjectReader& object) {
  ChassisProfile machine;
  machine.fixed_dc = by_workload(object, "fixed_dc_w");
  machine.scale_out = watts(object, "scale_out_w");
  machine.network = by_scale_out(object, "network_w");
  machine.full_cooling = watts(object, "full_cooling_w");
  machine.fan_nameplate = watts(object, "fan_nameplate_w");
  machine.fan_speed = fan_speed(object);
  machine.psu_sharing = watts(object, "psu_sharing_w");
  machine.psu_capacity = watts(object, "psu_capacity_w");
  return machine;
}

RackProfile read_rack(ObjectReader& object) {
  RackProfile machine;
  machine.trays = count(object, "trays");
  machine.accelerators_per_tray = count(object, "accelerators_per_tray");
  machine.host_cpus_per_tray = count(object, "host_cpus_per_tray");
  machine.boards_per_tray = count(object, "boards_per_tray");
  machine.host_cpu = watts(object, "host_cpu_w");
  machine.tray_aux = by_scale_out(object, "tray_aux_w");
  machine.network = by_scale_out(object, "network_w");
  machine.board_air_heat = by_workload(object, "board_air_heat_w");
  machine.tray_fans = count(object, "tray_fans");
  machine.fan = watts(object, "fan_w");
  machine.fan_speed = fan_speed(object);
  machine.tray_full_heat = watts(object, "tray_full_heat_w");
  machine.converter = watts(object, "converter_w");
  machine.converter_loss = curve(object, "converter_loss_w");
  machine.switch_trays = count(object, "switch_trays");
  machine.switch_tray = watts(object, "switch_tray_w");
  machine.bus_limit = watts(object, "bus_limit_w");
  machine.shelves = count(object, "shelves");
  machine.supplies_per_shelf = count(object, "supplies_per_shelf");
  machine.surviving_shelves = count(object, "surviving_shelves");
  machine.supply = watts(object, "supply_w");
  machine.shelf_controller = watts(object, "shelf_controller_w");
  machine.supply_full_loss = watts(object, "supply_full_loss_w");
  machine.minimum_load = object.number("minimum_load", kFraction);
  return machine;
}

}  // namespace

double Curve::at(double x) const {
  if (x <= points.front().first) return points.front().second;
  for (std::size_t i = 1; i < points.size(); ++i) {
    if (x > points[i].first) continue;
    const auto& [x0, y0] = points[i - 1];
    const auto& [x1, y1] = points[i];
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0);
  }
  return points.back().second;
}

double FanSpeed::at(double load) const {
  return std::clamp(floor + slope * std::min(1.0, load), floor, ceiling);
}

std::vector<std::string> server_ids() {
  return embedded_ids("servers");
}

ServerProfile server_profile(std::string_view id, std::string_view where) {
  const std::vector<std::string> ids = server_ids();
  const std::string name(id);
  if (!std::binary_search(ids.begin(), ids.end(), name)) {
    throw bad_input(std::string(where), "unknown server '" + name + "'", did_you_mean(name, ids));
  }
  const DataDocument& document = embedded_document("servers/" + name + ".json");
  ObjectReader object(document.json, document.file);
  check_schema(object, "jevons.server/1", true);
  ServerProfile profile;
  profile.id = object.string("id");
  profile.name = object.string("name");
  profile.note = object.string_or("note", "");
  profile.source = read_source(object);
  profile.accelerators = count(object, "accelerators");
  profile.psu_efficiency = curve(object, "psu_efficiency");
  profile.pue = object.number("pue", Range{1.0, 10.0});
  if (object.choice_or("kind", "", {"chassis", "rack"}) == "rack") {
    profile.machine = read_rack(object);
  } else {
    profile.machine = read_chassis(object);
  }
  object.finish();
  return profile;
}

}  // namespace jevons::hwmodels
