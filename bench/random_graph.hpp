// One random task graph that any engine can be given: hosts that compute one task after the other,
// and transfers between them over the sender's up-link and the receiver's down-link.
#pragma once

#include "jevons/sim/engine.hpp"

#include <cstdint>
#include <vector>

namespace jevons::bench {

struct RandomGraph {
  struct Task {
    std::uint32_t host = 0;
    double seconds = 0;
  };
  struct Transfer {
    std::uint32_t before = 0, after = 0;  ///< tasks
    double bytes = 0;                     ///< whole: SimGrid counts in integers
  };
  std::vector<double> up, down;  ///< bytes per second, by host
  std::vector<Task> tasks;
  std::vector<Transfer> transfers;  ///< always to a later task on another host
};

[[nodiscard]] RandomGraph random_graph(std::uint64_t seed, std::uint32_t hosts, std::uint32_t tasks,
                                       double transfers_per_task);

/// The tasks of the graph first, then its transfers.
[[nodiscard]] sim::TaskGraph to_task_graph(const RandomGraph& graph);

}  // namespace jevons::bench
