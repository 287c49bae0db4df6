// The engine and SimGrid on the same random graphs: every end of a task or transfer within 1 %.
// Exit code 0 when they agree. SimGrid is only compared with, never needed.
#include "random_graph.hpp"
#include "simgrid_graph.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

int main() {
  using namespace jevons;
  constexpr std::uint32_t kHosts = 16;
  const auto platform_graph = bench::random_graph(1, kHosts, 1, 0.0);
  bench::SimGridPlatform platform(platform_graph);
  double worst = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    auto graph = bench::random_graph(seed, kHosts, 400, 0.5 * static_cast<double>(seed % 5));
    graph.up = platform_graph.up;  // SimGrid's platform exists once
    graph.down = platform_graph.down;
    sim::Engine engine(bench::to_task_graph(graph));
    const auto& ours = engine.play();
    const auto theirs = platform.play(graph);
    for (std::size_t i = 0; i < theirs.size(); ++i) {
      worst = std::max(worst, std::abs(ours.end_s[i] - theirs[i]) / theirs[i]);
    }
  }
  std::printf("40 graphs, largest relative difference of an end time: %.3g\n", worst);
  return worst <= 0.01 ? 0 : 1;
}
