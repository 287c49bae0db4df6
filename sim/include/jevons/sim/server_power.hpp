// IT watts of a whole machine from the watts of its accelerators.
//
// Eight-accelerator chassis:
//   pre = n GPU + fixed_dc (+ scale_out)          pwm = fan speed at pre / full_cooling
//   dc  = pre + fan_nameplate pwm^3               IT  = dc / eff(dc / psu_sharing) + network
// NVL72 rack:
//   load = 4 GPU + 2 CPU + aux per tray; converter loss and fans of a tray are a fixed point
//   bus  = 18 (load + fans + loss) + switch trays;   out = bus + shelf controllers + PSU fans
//   IT   = out / eff(out / shelf capacity) + network
// Constants: SemiAnalysisAI/InferenceX power_model, revision ebbf89d9 (hwmodels/data/servers).
// Valid between the refusal limits of that model; reproduces its 210 reference figures to 0.06 W
// and its 54 refusals.
#pragma once

#include "jevons/core/units.hpp"
#include "jevons/hwmodels/server.hpp"

#include <optional>
#include <string>

namespace jevons::sim {

enum class ServerWorkload { fixed, agentic, offload };

struct ServerLoad {
  Watts accelerator;                             ///< each of them
  std::optional<Watts> host_cpu = std::nullopt;  ///< of a rack; empty: the profile's own
  ServerWorkload workload = ServerWorkload::fixed;
  bool scale_out = false;
};

struct ServerPower {
  Watts it;             ///< of the whole machine, network share included
  std::string refused;  ///< why the reference model would not answer; `it` then extrapolates
};

[[nodiscard]] ServerPower server_power(const hwmodels::ServerProfile& profile,
                                       const ServerLoad& load);

}  // namespace jevons::sim
