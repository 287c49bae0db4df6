// Max–min fair sharing of links among flows.
//
// Rates r_f are max–min fair when no rate can grow without shrinking one that is not larger
// (Bertsekas & Gallager, Data Networks, 6.5.2). Progressive filling: take the link with the least
// share c_l / n_l, fix the flows on it at that share, subtract, repeat. A change (a flow starts or
// ends) is solved again only among links and flows that are connected with it.
// Exact for fluid flows; known error: none against brute-force water filling (tests, 1e-9).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace jevons::sim {

/// Flows are known beforehand, by their routes; they come and go. No allocation after construction.
class FairSharing {
 public:
  /// `route_begin` has one entry more than there are flows; flow f uses links
  /// route[route_begin[f]] … route[route_begin[f + 1] − 1].
  FairSharing(std::span<const double> capacity, std::span<const std::uint32_t> route_begin,
              std::span<const std::uint32_t> route);

  void start(std::uint32_t flow);
  void finish(std::uint32_t flow);
  void reset();
  /// Whether a flow started or finished since the last solve().
  [[nodiscard]] bool changed() const { return !dirty_.empty(); }
  /// Solves what changed; the flows whose rate may differ now, in a reproducible order.
  std::span<const std::uint32_t> solve();
  [[nodiscard]] double rate(std::uint32_t flow) const { return rate_[flow]; }

 private:
  static constexpr std::uint32_t kEnd = 0xffffffffU;
  void mark(std::uint32_t link);
  void collect();
  void fill();
  void fix_flows_of(std::uint32_t link, double share);

  std::vector<double> capacity_, rate_, left_;
  std::vector<std::uint32_t> route_begin_, route_;
  // Active flows of a link: a doubly linked list of hops; hop h is position h of route_.
  std::vector<std::uint32_t> first_, next_, previous_, flow_of_hop_, active_, open_;
  std::vector<std::uint32_t> dirty_, links_, flows_;  // capacity reserved for the worst case
  std::vector<std::uint8_t> link_seen_, flow_state_;  // flow: 0 outside, 1 to be fixed, 2 fixed
};

}  // namespace jevons::sim
