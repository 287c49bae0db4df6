#include "jevons/hwmodels/cluster.hpp"

#include "support.hpp"

#include "jevons/hwmodels/catalogue.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>

using jevons::Error;
using jevons::ErrorKind;
using jevons::test::contains;
using jevons::test::error_of;
using namespace jevons::hwmodels;

namespace {

Cluster cluster_of(const char* id, long count, const ClusterOverrides& overrides = {}) {
  return make_cluster(Catalogue().accelerator(id, "test"), count, overrides, "/cluster");
}

}  // namespace

TEST_CASE("cluster: H100 nodes hold eight, the NIC is slower than NVLink, racks hold 72") {
  const Cluster h100 = cluster_of("h100-sxm", 2048);
  CHECK(h100.accelerators_per_node == 8);
  CHECK(h100.nodes() == 256);
  CHECK(h100.scale_up.raw() == 450e9);
  CHECK(h100.scale_out.raw() == 50e9);
  CHECK(h100.server.has_value());
  const Cluster rack = cluster_of("gb200-nvl72", 144);
  CHECK(rack.scale_up_domain == 72);
  CHECK(rack.nodes() == 2);
}

TEST_CASE("cluster: ranks of a group share a domain as far as their stride lets them") {
  const Cluster h100 = cluster_of("h100-sxm", 64);
  // Brute force: ranks 0, stride, 2 stride … that fall into the first eight.
  for (long ranks = 1; ranks <= 64; ++ranks) {
    for (long stride = 1; stride <= 16; stride *= 2) {
      long inside = 0;
      for (long rank = 0; rank < ranks; ++rank) inside += rank * stride < 8 ? 1 : 0;
      CHECK(h100.ranks_in_domain(ranks, stride) == inside);
    }
  }
}

TEST_CASE("cluster: a mesh limits one peer to one link") {
  const Cluster mi300x = cluster_of("mi300x", 8);
  CHECK(mi300x.scale_up_peer < mi300x.scale_up);
  CHECK(mi300x.scale_up.raw() == doctest::Approx(7 * mi300x.scale_up_peer.raw()).epsilon(0.01));
}

TEST_CASE("cluster: a missing link is an error only when someone asks for it") {
  const Cluster mac = cluster_of("m3-ultra", 1);
  CHECK(mac.scale_up.raw() == 0.0);
  const Error error = error_of([&] { (void)mac.require_scale_up(); });
  CHECK(error.kind() == ErrorKind::bad_input);
  CHECK(contains(error.message(), "scale_up_bytes_per_s"));
  CHECK(contains(error.message(), "m3-ultra"));
}

TEST_CASE("cluster: PCIe cards meet inside their node, and the node size is named as assumed") {
  const Cluster cards = cluster_of("rtx-4090", 4);
  CHECK(cards.scale_up_domain == cards.accelerators_per_node);
  CHECK(cards.assumptions.contains("accelerators_per_node"));
  CHECK_FALSE(cluster_of("h100-sxm", 8).assumptions.contains("accelerators_per_node"));
}

TEST_CASE("cluster: overrides replace figures and say so; a cap above the TDP is refused") {
  ClusterOverrides overrides;
  overrides.memory_bytes = 96e9;
  overrides.scale_out_bytes_per_s = 100e9;
  overrides.power_cap_w = 500;
  const Cluster h100 = cluster_of("h100-sxm", 8, overrides);
  CHECK(h100.accelerator.require("memory_bytes") == 96e9);
  CHECK_FALSE(h100.accelerator.find("driver_reported_memory_bytes"));
  CHECK(h100.scale_out.raw() == 100e9);
  CHECK(h100.power_limit().raw() == 500);
  CHECK(h100.accelerator.figures.at("memory_bytes").source.mark == jevons::Mark::assumed);
  overrides.power_cap_w = 900;
  const Error error = error_of([&] { (void)cluster_of("h100-sxm", 8, overrides); });
  CHECK(contains(error.where(), "power_cap_w"));
  CHECK(contains(error.hint(), "700"));
}

TEST_CASE("cluster: every SKU makes a cluster of one") {
  for (const std::string& id : Catalogue().accelerator_ids()) {
    CAPTURE(id);
    const Cluster one = cluster_of(id.c_str(), 1);
    CHECK(one.nodes() == 1);
    CHECK(one.scale_up_domain >= 1);
  }
}

TEST_CASE("cluster: an exchange on a torus gets one over its mean hops, found by brute force") {
  // Node 0 of a ring of 8, and of a square of 8 x 8: hops to all nodes by the shorter way round.
  double hops = 0;
  for (int x = 0; x < 8; ++x) {
    for (int y = 0; y < 8; ++y) hops += std::min(x, 8 - x) + std::min(y, 8 - y);
  }
  ClusterOverrides given;
  given.topology = Topology::torus_2d;
  const Cluster torus = cluster_of("h100-sxm", 512, given);
  CHECK(torus.scale_out_share(64, true) == doctest::Approx(64 / hops));
  CHECK(torus.scale_out_share(64, false) == 1.0);
  CHECK(torus.scale_out_share(2, true) == 1.0);
}

TEST_CASE("cluster: oversubscription takes its share of a fat tree, and means nothing on rails") {
  ClusterOverrides given;
  given.oversubscription = 4.0;
  CHECK(cluster_of("h100-sxm", 512, given).scale_out_share(64, false) == 0.25);
  given.topology = Topology::dragonfly;
  CHECK(cluster_of("h100-sxm", 512, given).scale_out_share(64, true) == 0.25);
  CHECK(cluster_of("h100-sxm", 512, given).scale_out_share(64, false) == 1.0);
  given.topology = Topology::rail;
  const Error error = error_of([&] { (void)cluster_of("h100-sxm", 512, given); });
  CHECK(contains(error.what(), "/cluster/oversubscription"));
}
