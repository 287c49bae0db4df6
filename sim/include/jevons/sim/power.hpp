// Watts: chip, IT and facility are three different numbers.
#pragma once

#include "jevons/core/units.hpp"
#include "jevons/hwmodels/cluster.hpp"
#include "jevons/sim/scenario.hpp"

namespace jevons::sim {

/// What one accelerator did on average while it was busy.
struct Activity {
  double flops_per_s = 0;  ///< in `format`
  NumberFormat format;
  double bytes_per_s = 0;    ///< HBM traffic
  double busy_fraction = 1;  ///< of the time; the rest idles
};

struct PowerEstimate {
  Watts chip;      ///< the accelerator board, as NVML reports
  Watts it;        ///< chip + host + network share, per accelerator
  Watts facility;  ///< IT × PUE, per accelerator
};

/// P = P0 + e_byte · B/s + e_flop · FLOP/s, limited by the cap (facts: serving-and-power, operators
/// 5.4); host and network share from the server power model where the system is known.
[[nodiscard]] PowerEstimate power(const Activity& activity, const hwmodels::Cluster& cluster,
                                  const PowerSpec& spec);

}  // namespace jevons::sim
