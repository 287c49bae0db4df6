#include "jevons/sim/engine_sharing.hpp"

#include <algorithm>
#include <limits>

namespace jevons::sim {

FairSharing::FairSharing(std::span<const double> capacity,
                         std::span<const std::uint32_t> route_begin,
                         std::span<const std::uint32_t> route)
    : capacity_(capacity.begin(), capacity.end()),
      rate_(route_begin.size() - 1, 0.0),
      left_(capacity.size(), 0.0),
      route_begin_(route_begin.begin(), route_begin.end()),
      route_(route.begin(), route.end()),
      first_(capacity.size(), kEnd),
      next_(route.size(), kEnd),
      previous_(route.size(), kEnd),
      flow_of_hop_(route.size(), 0),
      active_(capacity.size(), 0),
      open_(capacity.size(), 0),
      link_seen_(capacity.size(), 0),
      flow_state_(route_begin.size() - 1, 0) {
  const auto flows = static_cast<std::uint32_t>(route_begin.size() - 1);
  std::size_t with_route = 0;
  for (std::uint32_t flow = 0; flow < flows; ++flow) {
    with_route += route_begin[flow] != route_begin[flow + 1] ? 1U : 0U;
    for (auto hop = route_begin[flow]; hop < route_begin[flow + 1]; ++hop) {
      flow_of_hop_[hop] = flow;
    }
  }
  dirty_.reserve(capacity.size());
  links_.reserve(capacity.size());
  flows_.reserve(with_route);
}

void FairSharing::reset() {
  std::fill(first_.begin(), first_.end(), kEnd);
  std::fill(active_.begin(), active_.end(), 0U);
  std::fill(link_seen_.begin(), link_seen_.end(), std::uint8_t{0});
  dirty_.clear();
}

void FairSharing::mark(std::uint32_t link) {
  if (link_seen_[link] == 0) {
    link_seen_[link] = 1;
    dirty_.push_back(link);
  }
}

void FairSharing::start(std::uint32_t flow) {
  rate_[flow] = 0.0;
  for (auto hop = route_begin_[flow]; hop < route_begin_[flow + 1]; ++hop) {
    const auto link = route_[hop];
    next_[hop] = first_[link];
    previous_[hop] = kEnd;
    if (first_[link] != kEnd) {
      previous_[first_[link]] = hop;
    }
    first_[link] = hop;
    ++active_[link];
    mark(link);
  }
}

void FairSharing::finish(std::uint32_t flow) {
  for (auto hop = route_begin_[flow]; hop < route_begin_[flow + 1]; ++hop) {
    const auto link = route_[hop];
    (previous_[hop] == kEnd ? first_[link] : next_[previous_[hop]]) = next_[hop];
    if (next_[hop] != kEnd) {
      previous_[next_[hop]] = previous_[hop];
    }
    --active_[link];
    mark(link);
  }
}

// Everything connected with a changed link by flows that are active now.
void FairSharing::collect() {
  links_.clear();
  flows_.clear();
  links_.insert(links_.end(), dirty_.begin(), dirty_.end());
  dirty_.clear();
  for (std::size_t i = 0; i < links_.size(); ++i) {
    for (auto hop = first_[links_[i]]; hop != kEnd; hop = next_[hop]) {
      const auto flow = flow_of_hop_[hop];
      if (flow_state_[flow] != 0) {
        continue;
      }
      flow_state_[flow] = 1;
      flows_.push_back(flow);
      for (auto other = route_begin_[flow]; other < route_begin_[flow + 1]; ++other) {
        if (link_seen_[route_[other]] == 0) {
          link_seen_[route_[other]] = 1;
          links_.push_back(route_[other]);
        }
      }
    }
  }
}

void FairSharing::fix_flows_of(std::uint32_t link, double share) {
  for (auto hop = first_[link]; hop != kEnd; hop = next_[hop]) {
    const auto flow = flow_of_hop_[hop];
    if (flow_state_[flow] != 1) {
      continue;
    }
    flow_state_[flow] = 2;
    rate_[flow] = share;
    for (auto other = route_begin_[flow]; other < route_begin_[flow + 1]; ++other) {
      left_[route_[other]] = std::max(0.0, left_[route_[other]] - share);
      --open_[route_[other]];
    }
  }
}

void FairSharing::fill() {
  for (const auto link : links_) {
    left_[link] = capacity_[link];
    open_[link] = active_[link];
  }
  std::size_t live = links_.size();
  while (live > 0) {
    double least = std::numeric_limits<double>::infinity();
    std::uint32_t narrowest = kEnd;
    for (std::size_t i = 0; i < live;) {
      const auto link = links_[i];
      link_seen_[link] = 0;
      if (open_[link] == 0) {
        links_[i] = links_[--live];
        continue;
      }
      const double share = left_[link] / open_[link];
      if (share < least) {
        least = share;
        narrowest = link;
      }
      ++i;
    }
    if (narrowest != kEnd) {
      fix_flows_of(narrowest, least);
    }
  }
}

std::span<const std::uint32_t> FairSharing::solve() {
  collect();
  if (links_.size() == 1) {  // the common case of a private link, or several flows on one
    const auto link = links_[0];
    link_seen_[link] = 0;
    const double share = active_[link] == 0 ? 0.0 : capacity_[link] / active_[link];
    for (const auto flow : flows_) {
      rate_[flow] = share;
    }
  } else {
    fill();
  }
  for (const auto flow : flows_) {
    flow_state_[flow] = 0;
  }
  return flows_;
}

}  // namespace jevons::sim
