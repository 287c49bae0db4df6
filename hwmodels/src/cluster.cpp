#include "jevons/hwmodels/cluster.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>
#include <cmath>

namespace jevons::hwmodels {
namespace {

constexpr long kPcieCardsPerNode = 8;

void apply(Accelerator& sku, std::string_view figure, const std::optional<double>& value) {
  if (value) override_figure(sku, figure, *value);
}

long whole(const Accelerator& sku, std::string_view figure, long fallback) {
  const std::optional<double> value = sku.find(figure);
  return value ? static_cast<long>(*value) : fallback;
}

/// Accelerators in one chassis: the scenario, the SKU, else what the kind of part allows.
long per_node(Cluster& cluster, const ClusterOverrides& overrides) {
  if (overrides.accelerators_per_node) return *overrides.accelerators_per_node;
  const Accelerator& sku = cluster.accelerator;
  if (const long given = whole(sku, "accelerators_per_server", 0); given > 0) return given;
  const ScaleUpTopology topology = sku.topology();
  const long domain = whole(sku, "scale_up_domain", 1);
  const bool linked = topology != ScaleUpTopology::none && topology != ScaleUpTopology::pcie;
  const long chosen = topology == ScaleUpTopology::none
                          ? 1
                          : std::max(linked && domain > 2 ? domain : kPcieCardsPerNode, 1L);
  cluster.assumptions.insert_or_assign(
      "accelerators_per_node",
      Sourced{static_cast<double>(chosen),
              {"no figure 'accelerators_per_server': one per machine without links, the scale-up "
               "domain with, else eight cards",
               Mark::assumed},
              {}});
  return chosen;
}

long domain_of(const Cluster& cluster, const ClusterOverrides& overrides) {
  if (overrides.scale_up_domain) return *overrides.scale_up_domain;
  // Without a link of their own, cards meet on the PCIe tree of their node.
  if (cluster.accelerator.topology() == ScaleUpTopology::pcie) return cluster.accelerators_per_node;
  return whole(cluster.accelerator, "scale_up_domain", 1);
}

void check(const Cluster& cluster, std::string_view where) {
  const auto positive = [&](long value, const char* name) {
    if (value < 1) {
      throw bad_input(std::string(where) + "/" + name, "read " + std::to_string(value),
                      "allowed: at least 1");
    }
  };
  positive(cluster.count, "count");
  positive(cluster.accelerators_per_node, "accelerators_per_node");
  positive(cluster.scale_up_domain, "scale_up_domain");
  const bool tapered =
      cluster.topology == Topology::fat_tree || cluster.topology == Topology::dragonfly;
  if (cluster.oversubscription > 1.0 && !tapered) {
    throw bad_input(std::string(where) + "/oversubscription", "means nothing on this topology",
                    "allowed with fat-tree and dragonfly");
  }
  const std::optional<double> tdp = cluster.accelerator.find("tdp_w");
  const double cap = cluster.power_cap.raw();
  if (cap > 0 && tdp && cap > *tdp) {
    throw bad_input(std::string(where) + "/power_cap_w",
                    "a cap of " + std::to_string(static_cast<long>(cap)) + " W is above the TDP",
                    "allowed: at most " + std::to_string(static_cast<long>(*tdp)) + " W");
  }
}

}  // namespace

Cluster make_cluster(Accelerator accelerator, long count, const ClusterOverrides& overrides,
                     std::string_view where) {
  Cluster cluster;
  apply(accelerator, "scale_out_bytes_per_s", overrides.scale_out_bytes_per_s);
  apply(accelerator, "scale_up_bytes_per_s", overrides.scale_up_bytes_per_s);
  apply(accelerator, "memory_bytes", overrides.memory_bytes);
  // What the driver of the shipped part reports says nothing about another size.
  if (overrides.memory_bytes) accelerator.figures.erase("driver_reported_memory_bytes");
  apply(accelerator, "memory_bandwidth_bytes_per_s", overrides.memory_bytes_per_s);
  apply(accelerator, "compute_units", overrides.compute_units);
  cluster.accelerator = std::move(accelerator);
  cluster.count = count;
  cluster.accelerators_per_node = per_node(cluster, overrides);
  cluster.scale_up_domain = domain_of(cluster, overrides);
  const double up = cluster.accelerator.find("scale_up_bytes_per_s").value_or(0.0);
  cluster.scale_up = Bandwidth(up);
  cluster.scale_up_peer =
      Bandwidth(cluster.accelerator.find("scale_up_peer_bytes_per_s").value_or(up));
  cluster.scale_out = Bandwidth(cluster.accelerator.find("scale_out_bytes_per_s").value_or(0.0));
  cluster.oversubscription = overrides.oversubscription.value_or(1.0);
  cluster.topology = overrides.topology.value_or(Topology::fat_tree);
  cluster.power_cap = Watts(overrides.power_cap_w.value_or(0.0));
  check(cluster, where);
  if (!cluster.accelerator.server.empty()) {
    ServerProfile profile = server_profile(cluster.accelerator.server, "accelerator");
    if (profile.accelerators == cluster.accelerators_per_node) cluster.server = std::move(profile);
  }
  return cluster;
}

long Cluster::ranks_in_domain(long ranks, long stride) const {
  if (ranks <= 1) return std::max(ranks, 1L);
  return std::clamp(scale_up_domain / std::max(stride, 1L), 1L, ranks);
}

Bandwidth Cluster::require_scale_up() const {
  return scale_up.raw() > 0 ? scale_up : Bandwidth(accelerator.require("scale_up_bytes_per_s"));
}

Bandwidth Cluster::require_scale_out() const {
  return scale_out.raw() > 0 ? scale_out : Bandwidth(accelerator.require("scale_out_bytes_per_s"));
}

Watts Cluster::power_limit() const {
  return power_cap.raw() > 0 ? power_cap : Watts(accelerator.require("tdp_w"));
}

double Cluster::scale_out_share(double nodes, bool exchange) const {
  constexpr double kMeanHopsOfRing = 0.25;  // of its length, both directions used
  const auto torus = [&](double axes) {
    if (!exchange) return 1.0;
    return std::min(1.0, 1.0 / (axes * std::pow(nodes, 1 / axes) * kMeanHopsOfRing));
  };
  switch (topology) {
    case Topology::fat_tree: return 1.0 / oversubscription;
    case Topology::rail: return 1.0;
    case Topology::torus_2d: return torus(2);
    case Topology::torus_3d: return torus(3);
    case Topology::dragonfly: return exchange ? 1.0 / oversubscription : 1.0;
  }
  return 1.0;
}

long Cluster::nodes() const {
  return (count + accelerators_per_node - 1) / accelerators_per_node;
}

Bandwidth host_link(const Accelerator& accelerator) {
  const auto own = accelerator.find("host_link_bytes_per_s");
  return Bandwidth(own ? *own : accelerator.constants.at("host_link.bytes_per_s"));
}

}  // namespace jevons::hwmodels
