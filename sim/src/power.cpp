#include "jevons/sim/power.hpp"

#include "jevons/core/error.hpp"
#include "jevons/sim/server_power.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace jevons::sim {
namespace {

using hwmodels::Accelerator;
using hwmodels::Cluster;

/// The constant that holds the energy of one FLOP in a format.
std::string flop_constant(NumberFormat format) {
  switch (format.format) {
    case Format::fp32: return "j_per_flop.fp32";
    case Format::tf32: return "j_per_flop.tf32";
    case Format::fp8:
    case Format::fp8_block:
    case Format::mxfp8:
    case Format::mxfp6: return "j_per_flop.fp8";
    case Format::int8:
    case Format::ternary: return "j_per_flop.int8";
    case Format::nvfp4:
    case Format::mxfp4: return "j_per_flop.fp4";
    case Format::bf16:
    case Format::fp16:
    case Format::int4:
    case Format::bits: return "j_per_flop.bf16";
  }
  return "j_per_flop.bf16";
}

/// A format without a unit of its own runs, and burns, in the next wider one.
NumberFormat unit_format(NumberFormat format, const Accelerator& sku) {
  if (!sku.has_peak(format)) return format;
  const std::string figure = sku.peak_figure(format);
  if (figure.find("_fp4_") != std::string::npos) return {Format::nvfp4};
  if (figure.find("_fp6_") != std::string::npos) return {Format::mxfp6};
  if (figure.find("_fp8_") != std::string::npos) return {Format::fp8};
  if (figure.find("_int8_") != std::string::npos) return {Format::int8};
  if (figure.find("_tf32_") != std::string::npos) return {Format::tf32};
  if (figure.find("_fp32_") != std::string::npos) return {Format::fp32};
  return {Format::bf16};
}

/// A tile of an expert burns what a kernel loop does, but where 4-bit weights are widened in
/// registers.
std::string tile_flop_constant(NumberFormat unit, NumberFormat weights) {
  if (is_four_bit(weights) && flop_constant(unit) == "j_per_flop.bf16") {
    return "power.j_per_tile_flop.w4a16";
  }
  return "power.kernel." + flop_constant(unit);
}

/// Kernels that rescale by blocks take more for each block of weights.
std::string tile_byte_constant(NumberFormat unit, NumberFormat asked) {
  const bool block = asked.format == Format::fp8_block || asked.format == Format::mxfp8;
  return block && flop_constant(unit) == "j_per_flop.fp8" ? "power.j_per_tile_byte.fp8_block"
                                                          : "power.j_per_tile_byte";
}

/// Constants of a kernel loop lie under "power.kernel.", of an engine under "power.".
struct Energies {
  double p0 = 0, per_byte = 0, per_flop = 0, per_wide_flop = 0, per_tile_flop = 0,
         per_tile_byte = 0, limit = 0, exponent = 1;
};

double idle_watts(const Accelerator& sku) {
  if (const std::optional<double> idle = sku.find("idle_w")) return *idle;
  return sku.constants.at("power.idle_fraction_of_tdp") * sku.require("tdp_w");
}

Energies energies(const Activity& activity, const Cluster& cluster) {
  const Accelerator& sku = cluster.accelerator;
  const std::string prefix = activity.kernel_loop ? "power.kernel." : "power.";
  const NumberFormat unit = unit_format(activity.format, sku);
  const auto constant = [&](const std::string& name) { return sku.constants.at(prefix + name); };
  const double tdp = sku.require("tdp_w");
  Energies e;
  e.p0 = std::max(constant("p0_fraction_of_tdp") * tdp, idle_watts(sku));
  e.per_byte = constant("j_per_byte");
  e.per_flop = constant(flop_constant(unit));
  e.per_wide_flop = constant("j_per_flop.bf16");
  e.per_tile_flop = sku.constants.at(tile_flop_constant(unit, activity.tile_weights));
  e.per_tile_byte = sku.constants.at(tile_byte_constant(unit, activity.format));
  e.limit = sku.constants.at("power.limit_fraction_of_tdp") * cluster.power_limit().raw();
  e.exponent = constant("limit_exponent");
  return e;
}

double arithmetic_watts(const Activity& activity, const Energies& e) {
  return e.per_flop * activity.flops_per_s + e.per_wide_flop * activity.wide_flops_per_s;
}

double expert_watts(const Activity& activity, const Energies& e) {
  return e.per_tile_flop * activity.tile_flops_per_s + e.per_tile_byte * activity.tile_bytes_per_s;
}

/// Host, network, fans and losses per accelerator, and where the figure comes from.
Watts host_watts(Watts chip, const Cluster& cluster, const PowerSpec& spec,
                 PowerEstimate& estimate) {
  if (spec.host_w_per_accelerator) {
    estimate.host_source = "given in the scenario";
    return Watts(*spec.host_w_per_accelerator);
  }
  if (cluster.server) {
    ServerLoad load;
    load.accelerator = chip;
    load.scale_out = cluster.count > cluster.accelerators_per_node;
    estimate.host_source = "server power model of " + cluster.server->name;
    const ServerPower machine = server_power(*cluster.server, load);
    estimate.warning = machine.refused;
    return machine.it / cluster.server->accelerators - chip;
  }
  const Accelerator& sku = cluster.accelerator;
  estimate.host_source = "class default host share (assumed)";
  return Watts(sku.constants.at("power.host_fixed_fraction_of_tdp") * sku.require("tdp_w") +
               sku.constants.at("power.host_fraction_of_chip") * chip.raw());
}

}  // namespace

namespace {

Watts limited_power(const Activity& activity, const Cluster& cluster, const Energies& e) {
  const double free = e.p0 + e.per_byte * activity.bytes_per_s + arithmetic_watts(activity, e) +
                      expert_watts(activity, e);
  // (free^-n + limit^-n)^(-1/n), written so that no power overflows.
  const double low = std::min(free, e.limit), high = std::max(free, e.limit);
  const double busy = low / std::pow(1.0 + std::pow(low / high, e.exponent), 1.0 / e.exponent);
  const double share = std::clamp(activity.busy_fraction, 0.0, 1.0);
  return Watts(share * busy + (1.0 - share) * std::min(idle_watts(cluster.accelerator), busy));
}

}  // namespace

Watts chip_power(const Activity& activity, const Cluster& cluster) {
  return limited_power(activity, cluster, energies(activity, cluster));
}

Breakdown chip_power_parts(const Activity& activity, const Cluster& cluster) {
  const Energies e = energies(activity, cluster);
  const double share = std::clamp(activity.busy_fraction, 0.0, 1.0);
  const double total = chip_power(activity, cluster).raw();
  const double base = std::min(total, share * e.p0 + (1 - share) * idle_watts(cluster.accelerator));
  const double memory = share * e.per_byte * activity.bytes_per_s;
  const double arithmetic = share * arithmetic_watts(activity, e);
  const double experts = share * expert_watts(activity, e);
  const double wanted = memory + arithmetic + experts;
  const double held = wanted > 0 ? (total - base) / wanted : 1.0;
  Breakdown parts{"power_w_per_accelerator", total, "w", {}, {}};
  parts.formula = fmt::format(
      "base + {:.3f} (memory + arithmetic + experts): the limit holds back the rest", held);
  const auto part = [&parts](const char* name, double watts) {
    if (watts > 0) parts.children.push_back({name, watts, "w", {}, {}});
  };
  part("base", base);
  part("memory", held * memory);
  part("arithmetic", held * arithmetic);
  part("experts", held * experts);
  return parts;
}

bool power_known(const Cluster& cluster) {
  return cluster.accelerator.find("tdp_w").has_value();
}

PowerEstimate power(const Activity& activity, const Cluster& cluster, const PowerSpec& spec) {
  return power_around(chip_power(activity, cluster), cluster, spec);
}

PowerEstimate power_around(Watts chip, const Cluster& cluster, const PowerSpec& spec) {
  PowerEstimate estimate;
  estimate.chip = chip;
  estimate.it = estimate.chip + host_watts(estimate.chip, cluster, spec, estimate);
  estimate.facility = estimate.it * spec.pue;
  return estimate;
}

double cap_stretch(const Activity& activity, const Cluster& cluster, double exponent) {
  if (!(Watts(0) < cluster.power_cap) || !power_known(cluster)) return 1;
  Energies free = energies(activity, cluster);
  free.limit *= cluster.accelerator.require("tdp_w") / cluster.power_cap.raw();
  const double over = limited_power(activity, cluster, free) / cluster.power_cap;
  return over > 1 ? std::pow(over, exponent) : 1;
}

FlopRate power_roof(NumberFormat format, Bandwidth bytes_per_s, const Cluster& cluster) {
  Activity loop;
  loop.format = format;
  loop.kernel_loop = true;
  const Energies e = energies(loop, cluster);
  const double left = cluster.power_limit().raw() - e.p0 - e.per_byte * bytes_per_s.raw();
  if (e.per_flop <= 0) return FlopRate(std::numeric_limits<double>::infinity());
  return FlopRate(std::max(0.0, left) / e.per_flop);
}

}  // namespace jevons::sim
