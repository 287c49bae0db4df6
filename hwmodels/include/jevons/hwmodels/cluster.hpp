// A cluster: how many accelerators, and the links between them by level.
#pragma once

#include "jevons/core/units.hpp"
#include "jevons/hwmodels/accelerator.hpp"

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
  double oversubscription = 1.0;  ///< of the fat tree above the leaf; 1 = none
  Watts power_cap{0.0};           ///< zero: the TDP

  /// Ranks that are neighbours at stride `stride` (1 = consecutive) and lie in one scale-up domain.
  [[nodiscard]] long ranks_in_domain(long ranks, long stride) const;
};

}  // namespace jevons::hwmodels
