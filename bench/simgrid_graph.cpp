#include "simgrid_graph.hpp"

#include <simgrid/s4u.hpp>
#include <string>

namespace jevons::bench {

namespace sg = simgrid::s4u;

struct SimGridPlatform::State {
  std::unique_ptr<sg::Engine> engine;
  std::vector<sg::Host*> hosts;
};

SimGridPlatform::SimGridPlatform(const RandomGraph& graph) : state_(std::make_unique<State>()) {
  static char name[] = "jevons";
  static char quiet[] = "--log=root.thres:error";
  static char* arguments[] = {name, quiet, nullptr};
  int count = 2;
  state_->engine = std::make_unique<sg::Engine>(&count, arguments);
  for (const char* option :
       {"network/model:CM02", "network/crosstraffic:0", "network/bandwidth-factor:1.0",
        "network/latency-factor:1.0", "network/weight-S:0.0", "host/model:default",
        "surf/precision:1e-9", "maxmin/precision:1e-9"}) {
    sg::Engine::set_config(option);
  }
  auto* zone = sg::create_full_zone("zone");
  std::vector<sg::Link*> up, down;
  for (std::size_t i = 0; i < graph.up.size(); ++i) {
    state_->hosts.push_back(zone->create_host("host" + std::to_string(i), 1.0)->seal());
    up.push_back(zone->create_link("up" + std::to_string(i), graph.up[i])->seal());
    down.push_back(zone->create_link("down" + std::to_string(i), graph.down[i])->seal());
  }
  for (std::size_t i = 0; i < up.size(); ++i) {
    for (std::size_t j = 0; j < up.size(); ++j) {
      if (i != j) {
        zone->add_route(state_->hosts[i]->get_netpoint(), state_->hosts[j]->get_netpoint(), nullptr,
                        nullptr, {sg::LinkInRoute(up[i]), sg::LinkInRoute(down[j])}, false);
      }
    }
  }
  zone->seal();
}

SimGridPlatform::~SimGridPlatform() = default;

std::vector<double> SimGridPlatform::play(const RandomGraph& graph) {
  const double begin = sg::Engine::get_clock();
  std::vector<sg::ExecPtr> tasks;
  std::vector<sg::CommPtr> transfers;
  std::vector<sg::ExecPtr> last(graph.up.size());
  tasks.reserve(graph.tasks.size());
  transfers.reserve(graph.transfers.size());
  for (const auto& task : graph.tasks) {
    auto exec = sg::Exec::init()->set_flops_amount(task.seconds);
    if (last[task.host] != nullptr) {
      last[task.host]->add_successor(exec);
    }
    last[task.host] = exec;
    tasks.push_back(exec);
  }
  for (const auto& transfer : graph.transfers) {
    auto comm = sg::Comm::sendto_init();
    comm->set_payload_size(static_cast<std::uint64_t>(transfer.bytes));
    tasks[transfer.before]->add_successor(comm);
    comm->add_successor(tasks[transfer.after]);
    transfers.push_back(comm);
  }
  // An activity starts when it has a place and its predecessors have ended.
  for (std::size_t i = 0; i < transfers.size(); ++i) {
    transfers[i]->set_source(state_->hosts[graph.tasks[graph.transfers[i].before].host]);
    transfers[i]->set_destination(state_->hosts[graph.tasks[graph.transfers[i].after].host]);
    transfers[i]->vetoable_start();
  }
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    tasks[i]->set_host(state_->hosts[graph.tasks[i].host]);
    tasks[i]->vetoable_start();
  }
  state_->engine->run();
  std::vector<double> end;
  end.reserve(tasks.size() + transfers.size());
  for (const auto& task : tasks) {
    end.push_back(task->get_finish_time() - begin);
  }
  for (const auto& transfer : transfers) {
    end.push_back(transfer->get_finish_time() - begin);
  }
  return end;
}

}  // namespace jevons::bench
