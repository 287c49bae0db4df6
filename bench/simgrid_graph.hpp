// The same random graph on SimGrid: flow-level network model CM02 without cross-traffic, bandwidth
// factor 1, no latency, so that both engines share links max–min fairly.
#pragma once

#include "random_graph.hpp"

#include <memory>

namespace jevons::bench {

/// SimGrid's engine exists once per process: so does this.
class SimGridPlatform {
 public:
  explicit SimGridPlatform(const RandomGraph& graph);
  ~SimGridPlatform();
  /// Plays the graph and gives the end of each task and transfer, in seconds from its start.
  std::vector<double> play(const RandomGraph& graph);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace jevons::bench
