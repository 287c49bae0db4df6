#include "jevons/sim/server_power.hpp"

#include <cmath>

namespace jevons::sim {
namespace {

using hwmodels::ByScaleOut;
using hwmodels::ByWorkload;
using hwmodels::ChassisProfile;
using hwmodels::RackProfile;
using hwmodels::ServerProfile;

// The fixed points contract by a factor of about 0.1 a pass.
constexpr int kMaxPasses = 100;
constexpr double kTolerance = 1e-10;

double pick(const ByWorkload& value, ServerWorkload workload) {
  switch (workload) {
    case ServerWorkload::fixed: return value.fixed.raw();
    case ServerWorkload::agentic: return value.agentic.raw();
    case ServerWorkload::offload: return value.offload.raw();
  }
  return value.fixed.raw();
}

double pick(const ByScaleOut& value, bool scale_out) {
  return scale_out ? value.with.raw() : value.without.raw();
}

double cube(double x) {
  return x * x * x;
}

std::string watts(double value) {
  return std::to_string(std::lround(value)) + " W";
}

ServerPower chassis(const ServerProfile& profile, const ChassisProfile& machine,
                    const ServerLoad& load) {
  const double pre = profile.accelerators * load.accelerator.raw() +
                     pick(machine.fixed_dc, load.workload) +
                     (load.scale_out ? machine.scale_out.raw() : 0.0);
  const double speed = machine.fan_speed.at(pre / machine.full_cooling.raw());
  const double dc = pre + machine.fan_nameplate.raw() * cube(speed);
  ServerPower power;
  if (dc > machine.psu_capacity.raw()) {
    power.refused = watts(dc) + " is more than the power supplies hold with redundancy, " +
                    watts(machine.psu_capacity.raw());
  }
  power.it = Watts(dc / profile.psu_efficiency.at(dc / machine.psu_sharing.raw()) +
                   pick(machine.network, load.scale_out));
  return power;
}

/// Watts into one compute tray: its load, the loss of its converter and the fans that carry it
/// away.
double tray_input(const RackProfile& machine, const ServerLoad& load) {
  const double aux = pick(machine.tray_aux, load.scale_out);
  const double cpu = load.host_cpu.value_or(machine.host_cpu).raw();
  const double inner = machine.accelerators_per_tray * load.accelerator.raw() +
                       machine.host_cpus_per_tray * cpu + aux;
  double fans = 0.0, loss = 0.0;
  for (int pass = 0; pass < kMaxPasses; ++pass) {
    loss = machine.converter_loss.at((inner + fans) / machine.converter.raw());
    const double heat =
        machine.boards_per_tray * pick(machine.board_air_heat, load.workload) + aux + loss;
    const double speed = machine.fan_speed.at(heat / machine.tray_full_heat.raw());
    const double next = machine.tray_fans * machine.fan.raw() * cube(speed);
    const bool settled = std::abs(next - fans) < kTolerance;
    fans = next;
    if (settled) break;
  }
  return inner + fans + loss;
}

/// Watts out of all power shelves for what the bus takes: their controllers and fans come on top.
double shelf_output(const ServerProfile& profile, const RackProfile& machine, double bus) {
  const int supplies = machine.shelves * machine.supplies_per_shelf;
  const double capacity = supplies * machine.supply.raw();
  const double fixed = bus + machine.shelves * machine.shelf_controller.raw();
  double out = fixed;
  for (int pass = 0; pass < kMaxPasses; ++pass) {
    const double loss = (out / profile.psu_efficiency.at(out / capacity) - out) / supplies;
    const double speed = machine.fan_speed.at(loss / machine.supply_full_loss.raw());
    const double next = fixed + supplies * machine.fan.raw() * cube(speed);
    const bool settled = std::abs(next - out) < kTolerance * next;
    out = next;
    if (settled) break;
  }
  return out;
}

ServerPower rack(const ServerProfile& profile, const RackProfile& machine, const ServerLoad& load) {
  const double bus =
      machine.trays * tray_input(machine, load) + machine.switch_trays * machine.switch_tray.raw();
  const double out = shelf_output(profile, machine, bus);
  const double shelf = machine.supplies_per_shelf * machine.supply.raw();
  const double share = out / (machine.shelves * shelf);
  const double surviving = machine.surviving_shelves * shelf;
  ServerPower power;
  if (bus > machine.bus_limit.raw()) {
    power.refused = watts(bus) + " is more than the bus carries, " + watts(machine.bus_limit.raw());
  } else if (share < machine.minimum_load) {
    power.refused = "the power supplies run below 5 % load, where their efficiency is not known";
  } else if (out > surviving) {
    power.refused =
        watts(out) + " is more than the surviving power shelves hold, " + watts(surviving);
  }
  power.it = Watts(out / profile.psu_efficiency.at(share) + pick(machine.network, load.scale_out));
  return power;
}

}  // namespace

ServerPower server_power(const ServerProfile& profile, const ServerLoad& load) {
  if (const auto* machine = std::get_if<ChassisProfile>(&profile.machine)) {
    return chassis(profile, *machine, load);
  }
  return rack(profile, std::get<RackProfile>(profile.machine), load);
}

}  // namespace jevons::sim
