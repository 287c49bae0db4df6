#include "random_graph.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>

namespace jevons::bench {

RandomGraph random_graph(std::uint64_t seed, std::uint32_t hosts, std::uint32_t tasks,
                         double transfers_per_task) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> real(0.5, 2.0), unit(0.0, 1.0);
  RandomGraph out;
  for (std::uint32_t host = 0; host < hosts; ++host) {
    out.up.push_back(1e9 * real(random));
    out.down.push_back(1e9 * real(random));
  }
  for (std::uint32_t task = 0; task < tasks; ++task) {
    out.tasks.push_back({static_cast<std::uint32_t>(random() % hosts), real(random)});
    // Mostly from a little earlier, as between the stages of a pipeline.
    for (double left = transfers_per_task; task > 0 && left > 0; left -= 1) {
      const auto window = std::min<std::uint64_t>(task, 4ULL * hosts);
      const auto before = static_cast<std::uint32_t>(task - 1 - random() % window);
      if (unit(random) < left && out.tasks[before].host != out.tasks[task].host) {
        out.transfers.push_back({before, task, std::floor(1e9 * real(random))});
      }
    }
  }
  return out;
}

sim::TaskGraph to_task_graph(const RandomGraph& graph) {
  sim::TaskGraph out;
  out.reserve(graph.tasks.size() + graph.transfers.size(),
              graph.tasks.size() + 2 * graph.transfers.size());
  std::vector<sim::LinkId> up, down;
  for (std::size_t host = 0; host < graph.up.size(); ++host) {
    out.add_stream();
    up.push_back(out.add_link(Bandwidth(graph.up[host])));
    down.push_back(out.add_link(Bandwidth(graph.down[host])));
  }
  for (const auto& task : graph.tasks) {
    out.add_task(task.host, Seconds(task.seconds));
  }
  for (const auto& transfer : graph.transfers) {
    const std::array route{up[graph.tasks[transfer.before].host],
                           down[graph.tasks[transfer.after].host]};
    const auto task = out.add_transfer(sim::kNone, Bytes(transfer.bytes), route);
    out.add_dependency(transfer.before, task);
    out.add_dependency(task, transfer.after);
  }
  return out;
}

}  // namespace jevons::bench
