// The machine around the accelerators: what turns accelerator watts into IT watts.
#pragma once

#include "jevons/core/provenance.hpp"
#include "jevons/core/units.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace jevons::hwmodels {

/// Straight lines between points; constant outside.
struct Curve {
  std::vector<std::pair<double, double>> points;  ///< x rising
  [[nodiscard]] double at(double x) const;
};

/// speed = clamp(floor + slope x min(1, load), floor, ceiling); power grows with its cube.
struct FanSpeed {
  double floor = 0, slope = 0, ceiling = 1;
  [[nodiscard]] double at(double load) const;
};

/// By kind of traffic: fixed lengths, agentic, agentic with offload to the CPU.
struct ByWorkload {
  Watts fixed, agentic, offload;
};

struct ByScaleOut {
  Watts without, with;
};

/// One air-cooled server.
struct ChassisProfile {
  ByWorkload fixed_dc;  ///< CPUs, memory, storage, board
  Watts scale_out;      ///< further watts of NICs that scale out
  ByScaleOut network;   ///< share of the switches, behind the power supplies
  Watts full_cooling, fan_nameplate;
  FanSpeed fan_speed;
  Watts psu_sharing, psu_capacity;
};

/// One liquid-cooled rack of compute and switch trays on a common bus.
struct RackProfile {
  int trays = 0, accelerators_per_tray = 0, host_cpus_per_tray = 0, boards_per_tray = 0;
  Watts host_cpu;  ///< in service
  ByScaleOut tray_aux, network;
  ByWorkload board_air_heat;
  int tray_fans = 0;
  Watts fan;
  FanSpeed fan_speed;
  Watts tray_full_heat, converter;
  Curve converter_loss;  ///< watts over output as a share of `converter`
  int switch_trays = 0;
  Watts switch_tray, bus_limit;
  int shelves = 0, supplies_per_shelf = 0, surviving_shelves = 0;
  Watts supply, shelf_controller, supply_full_loss;
  double minimum_load = 0;
};

struct ServerProfile {
  std::string id, name, note;
  int accelerators = 0;
  Curve psu_efficiency;  ///< over load as a share of the supplies that share it
  double pue = 1.0;      ///< of the reference, shown only: a scenario brings its own
  std::variant<ChassisProfile, RackProfile> machine;
  Source source;
};

[[nodiscard]] std::vector<std::string> server_ids();
/// Throws Error(bad_input) with the nearest names.
[[nodiscard]] ServerProfile server_profile(std::string_view id, std::string_view where);

}  // namespace jevons::hwmodels
