// A cluster: how many accelerators, and the links between them by level.
#pragma once

#include "jevons/core/units.hpp"
#include "jevons/hwmodels/accelerator.hpp"
#include "jevons/hwmodels/server.hpp"

#include <map>
#include <optional>
#include <string>

namespace jevons::hwmodels {

enum class Topology { fat_tree, rail, torus_2d, torus_3d, dragonfly };

struct Cluster {
  Accelerator accelerator;  ///< with the scenario's overrides applied
  long count = 1;
  long accelerators_per_node = 8;
  long scale_up_domain = 8;      ///< accelerators that reach each other at scale-up speed
  Bandwidth scale_up{0.0};       ///< per accelerator and direction; zero when there is no such link
  Bandwidth scale_up_peer{0.0};  ///< limit to one peer (mesh fabrics); equals scale_up on a switch
  Bandwidth scale_out{0.0};      ///< NIC share of one accelerator and direction
  Topology topology = Topology::fat_tree;
  double oversubscription = 1.0;  ///< of the links above the leaf (or between groups); 1 = none
  Watts power_cap{0.0};           ///< zero: the TDP
  /// Power model of the machine, when the SKU names one and its size fits the node.
  std::optional<ServerProfile> server;
  /// What had to be chosen because no figure gives it, by name, with the reason.
  std::map<std::string, Sourced, std::less<>> assumptions;

  /// Ranks that are neighbours at stride `stride` (1 = consecutive) and lie in one scale-up domain.
  [[nodiscard]] long ranks_in_domain(long ranks, long stride) const;
  /// The links, asked for by who needs them: Error(bad_input) that names SKU and figure when the
  /// figure is unknown.
  [[nodiscard]] Bandwidth require_scale_up() const;
  [[nodiscard]] Bandwidth require_scale_out() const;
  [[nodiscard]] Watts power_limit() const;  ///< cap if there is one, else TDP (required)
  [[nodiscard]] long nodes() const;
  /// Share of the NIC's rate that collectives among `nodes` nodes get, in (0, 1]. Every node
  /// sending to every other (`exchange`) loads all levels; rings and trees only meet neighbours.
  /// - fat tree: 1 / oversubscription for both, since flows of a ring cross the spine too;
  /// - rail: 1, an exchange changes rails inside the node;
  /// - torus of d axes: an exchange travels d N^(1/d) / 4 hops in the mean over 2d links that
  ///   share the NIC's rate (Dally & Towles, Principles and Practices of Interconnection
  ///   Networks, 2004, section 5.2), a ring one hop;
  /// - dragonfly: an exchange spreads over the global links, 1 / oversubscription of them.
  [[nodiscard]] double scale_out_share(double nodes, bool exchange) const;
};

/// What a scenario may override (contract section 1).
struct ClusterOverrides {
  std::optional<long> accelerators_per_node, scale_up_domain;
  std::optional<double> scale_out_bytes_per_s, scale_up_bytes_per_s;
  std::optional<double> memory_bytes, memory_bytes_per_s, compute_units;
  std::optional<double> power_cap_w;
  std::optional<double> oversubscription;  ///< at least 1
  std::optional<Topology> topology;
};

/// Applies the overrides; a figure that the SKU lacks is no error until someone asks for it.
/// Cards on PCIe alone reach each other at the card's PCIe rate inside one node.
/// Throws Error(bad_input) on a cap above the TDP or below idle, and on counts that do not fit.
[[nodiscard]] Cluster make_cluster(Accelerator accelerator, long count,
                                   const ClusterOverrides& overrides, std::string_view where);

/// Link of an accelerator to host memory, per direction: the SKU's own figure, else its class's.
[[nodiscard]] Bandwidth host_link(const Accelerator& accelerator);

}  // namespace jevons::hwmodels
