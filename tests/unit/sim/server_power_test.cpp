#include "jevons/sim/server_power.hpp"

#include "jevons/hwmodels/server.hpp"

#include <doctest/doctest.h>

#include <array>

using jevons::Watts;
using jevons::hwmodels::server_profile;
using jevons::sim::server_power;
using jevons::sim::ServerLoad;
using jevons::sim::ServerPower;
using Workload = jevons::sim::ServerWorkload;

namespace {

// Reference outputs of SemiAnalysisAI/InferenceX power_model, revision ebbf89d9, rounded to 0.1 W.
struct ChassisCase {
  const char* profile;
  Workload workload;
  bool scale_out;
  std::array<double, 3> accelerator_w;
  std::array<double, 3> it_w;
  double limit_w, limit_it_w;  ///< the last power accepted, 10 W more is refused
};

constexpr std::array<ChassisCase, 36> kChassis{{
    {"hgx-h100", Workload::fixed, false, {0, 350, 700}, {1852.0, 4855.7, 7999.9}, 1430, 14073.9},
    {"hgx-h100", Workload::fixed, true, {0, 350, 700}, {2006.3, 5012.8, 8160.1}, 1420, 14142.6},
    {"hgx-h100", Workload::agentic, false, {0, 350, 700}, {1916.3, 4922.0, 8068.6}, 1430, 14137.1},
    {"hgx-h100", Workload::agentic, true, {0, 350, 700}, {2070.3, 5079.1, 8228.8}, 1420, 14205.7},
    {"hgx-h100", Workload::offload, false, {0, 350, 700}, {2131.2, 5146.1, 8300.6}, 1400, 14097.5},
    {"hgx-h100", Workload::offload, true, {0, 350, 700}, {2283.9, 5303.4, 8461.2}, 1390, 14166.1},
    {"hgx-b200", Workload::fixed, false, {0, 500, 1000}, {1833.1, 6111.8, 10591.1}, 1730, 16813.9},
    {"hgx-b200", Workload::fixed, true, {0, 500, 1000}, {1984.7, 6267.1, 10754.2}, 1720, 16882.5},
    {"hgx-b200",
     Workload::agentic,
     false,
     {0, 500, 1000},
     {1895.4, 6176.8, 10661.9},
     1730,
     16877.8},
    {"hgx-b200", Workload::agentic, true, {0, 500, 1000}, {2046.6, 6332.1, 10825.1}, 1720, 16946.4},
    {"hgx-b200",
     Workload::offload,
     false,
     {0, 500, 1000},
     {2102.9, 6396.2, 10901.4},
     1700,
     16837.8},
    {"hgx-b200", Workload::offload, true, {0, 500, 1000}, {2257.4, 6551.6, 11065.0}, 1690, 16906.4},
    {"hgx-b300", Workload::fixed, false, {0, 600, 1200}, {1916.2, 7151.1, 12538.4}, 1640, 16202.9},
    {"hgx-b300", Workload::fixed, true, {0, 600, 1200}, {2235.0, 7460.9, 12859.2}, 1620, 16338.3},
    {"hgx-b300",
     Workload::agentic,
     false,
     {0, 600, 1200},
     {1985.0, 7216.5, 12607.9},
     1630,
     16182.5},
    {"hgx-b300", Workload::agentic, true, {0, 600, 1200}, {2303.9, 7526.2, 12928.8}, 1610, 16317.9},
    {"hgx-b300",
     Workload::offload,
     false,
     {0, 600, 1200},
     {2217.2, 7437.0, 12842.6},
     1610,
     16225.7},
    {"hgx-b300", Workload::offload, true, {0, 600, 1200}, {2536.3, 7746.7, 13163.9}, 1590, 16361.1},
    {"mi300x", Workload::fixed, false, {0, 375, 750}, {1331.7, 4548.6, 7900.4}, 950, 9558.6},
    {"mi300x", Workload::fixed, true, {0, 375, 750}, {1486.7, 4704.3, 8059.2}, 940, 9626.3},
    {"mi300x", Workload::agentic, false, {0, 375, 750}, {1397.3, 4614.6, 7968.7}, 940, 9538.6},
    {"mi300x", Workload::agentic, true, {0, 375, 750}, {1551.9, 4770.4, 8127.6}, 930, 9606.2},
    {"mi300x", Workload::offload, false, {0, 375, 750}, {1616.0, 4837.6, 8199.5}, 920, 9581.1},
    {"mi300x", Workload::offload, true, {0, 375, 750}, {1769.2, 4993.5, 8358.6}, 910, 9648.8},
    {"mi325x", Workload::fixed, false, {0, 500, 1000}, {1335.2, 5693.4, 10182.1}, 1780, 16569.3},
    {"mi325x", Workload::fixed, true, {0, 500, 1000}, {1494.6, 5848.0, 10342.4}, 1770, 16637.0},
    {"mi325x", Workload::agentic, false, {0, 500, 1000}, {1404.0, 5758.6, 10251.5}, 1770, 16549.2},
    {"mi325x", Workload::agentic, true, {0, 500, 1000}, {1563.4, 5913.2, 10411.8}, 1760, 16616.9},
    {"mi325x", Workload::offload, false, {0, 500, 1000}, {1636.1, 5978.5, 10486.0}, 1750, 16591.8},
    {"mi325x", Workload::offload, true, {0, 500, 1000}, {1795.6, 6133.1, 10646.5}, 1740, 16659.5},
    {"mi355x", Workload::fixed, false, {0, 700, 1400}, {1338.9, 7440.1, 13723.6}, 3090, 27715.1},
    {"mi355x", Workload::fixed, true, {0, 700, 1400}, {1498.1, 7594.3, 13883.6}, 3080, 27782.8},
    {"mi355x", Workload::agentic, false, {0, 700, 1400}, {1407.5, 7505.0, 13792.8}, 3080, 27694.0},
    {"mi355x", Workload::agentic, true, {0, 700, 1400}, {1566.8, 7659.2, 13952.9}, 3070, 27761.7},
    {"mi355x", Workload::offload, false, {0, 700, 1400}, {1639.2, 7723.8, 14026.8}, 3060, 27738.7},
    {"mi355x", Workload::offload, true, {0, 700, 1400}, {1798.6, 7878.0, 14187.0}, 3050, 27806.3},
}};

struct RackCase {
  const char* profile;
  Workload workload;
  bool scale_out;
  std::array<double, 5> it_w;  ///< zero: refused
  double limit_w, limit_it_w;
};

constexpr std::array<RackCase, 12> kRacks{{
    {"gb200-nvl72",
     Workload::fixed,
     false,
     {0, 62838.0, 80674.0, 78419.1, 110013.3},
     1590,
     140228.6},
    {"gb200-nvl72",
     Workload::fixed,
     true,
     {0, 64402.1, 82242.1, 79986.7, 111624.9},
     1580,
     141096.7},
    {"gb200-nvl72",
     Workload::agentic,
     false,
     {0, 62849.2, 80686.0, 78431.0, 110027.7},
     1590,
     140245.5},
    {"gb200-nvl72",
     Workload::agentic,
     true,
     {0, 64414.6, 82255.4, 79999.9, 111640.7},
     1580,
     141115.1},
    {"gb200-nvl72",
     Workload::offload,
     false,
     {0, 62942.1, 80784.8, 78529.0, 110145.7},
     1590,
     140384.3},
    {"gb200-nvl72",
     Workload::offload,
     true,
     {0, 64518.0, 82364.9, 80108.6, 111771.0},
     1570,
     140495.1},
    {"gb300-nvl72",
     Workload::fixed,
     false,
     {20546.7, 66359.6, 84205.0, 81948.9, 129219.9},
     1560,
     141585.1},
    {"gb300-nvl72",
     Workload::fixed,
     true,
     {23766.8, 69578.7, 87434.6, 85177.1, 132163.4},
     1540,
     142803.5},
    {"gb300-nvl72",
     Workload::agentic,
     false,
     {20559.2, 66373.8, 84219.9, 81963.7, 129239.1},
     1560,
     141585.1},
    {"gb300-nvl72",
     Workload::agentic,
     true,
     {23782.0, 69595.8, 87452.6, 85195.0, 132163.4},
     1540,
     142803.5},
    {"gb300-nvl72",
     Workload::offload,
     false,
     {20663.0, 66490.5, 84343.1, 82086.1, 129396.4},
     1560,
     141585.1},
    {"gb300-nvl72",
     Workload::offload,
     true,
     {23907.6, 69736.6, 87600.4, 85341.9, 132163.4},
     1540,
     142803.5},
}};

constexpr double kGrace = 98.066;

ServerPower at(const char* profile, double accelerator, Workload workload, bool scale_out) {
  return server_power(server_profile(profile, "test"),
                      {Watts(accelerator), Watts(kGrace), workload, scale_out});
}

}  // namespace

TEST_CASE("server power: every chassis reference output is met to 0.06 W") {
  for (const ChassisCase& c : kChassis) {
    CAPTURE(c.profile);
    CAPTURE(c.scale_out);
    for (std::size_t i = 0; i < c.it_w.size(); ++i) {
      const ServerPower power = at(c.profile, c.accelerator_w[i], c.workload, c.scale_out);
      CHECK(power.refused.empty());
      CHECK(power.it.raw() == doctest::Approx(c.it_w[i]).epsilon(0.06 / c.it_w[i]));
    }
  }
}

TEST_CASE("server power: a chassis takes the last power of the reference and refuses 10 W more") {
  for (const ChassisCase& c : kChassis) {
    CAPTURE(c.profile);
    const ServerPower last = at(c.profile, c.limit_w, c.workload, c.scale_out);
    CHECK(last.refused.empty());
    CHECK(last.it.raw() == doctest::Approx(c.limit_it_w).epsilon(0.06 / c.limit_it_w));
    CHECK_FALSE(at(c.profile, c.limit_w + 10, c.workload, c.scale_out).refused.empty());
  }
}

TEST_CASE("server power: every rack reference output is met to 0.06 W, refusals included") {
  for (const RackCase& c : kRacks) {
    const double high = std::string_view(c.profile) == "gb200-nvl72" ? 1200 : 1400;
    const std::array<std::pair<double, double>, 5> loads{
        {{0, kGrace}, {594.191, kGrace}, {824, 98.8}, {594.191, 500}, {high, kGrace}}};
    CAPTURE(c.profile);
    CAPTURE(c.scale_out);
    for (std::size_t i = 0; i < loads.size(); ++i) {
      const ServerPower power =
          server_power(server_profile(c.profile, "test"),
                       {Watts(loads[i].first), Watts(loads[i].second), c.workload, c.scale_out});
      CHECK(power.refused.empty() == (c.it_w[i] > 0));
      if (c.it_w[i] > 0) {
        CHECK(power.it.raw() == doctest::Approx(c.it_w[i]).epsilon(0.06 / c.it_w[i]));
      }
    }
  }
}

TEST_CASE("server power: a rack takes the last power of the reference and refuses 10 W more") {
  for (const RackCase& c : kRacks) {
    CAPTURE(c.profile);
    CAPTURE(c.scale_out);
    const ServerPower last = at(c.profile, c.limit_w, c.workload, c.scale_out);
    CHECK(last.refused.empty());
    CHECK(last.it.raw() == doctest::Approx(c.limit_it_w).epsilon(0.06 / c.limit_it_w));
    CHECK_FALSE(at(c.profile, c.limit_w + 10, c.workload, c.scale_out).refused.empty());
  }
}

TEST_CASE("server power: three reference outputs are met to the last printed digits") {
  const auto check = [](const char* profile, ServerLoad load, double it, double facility) {
    const auto machine = server_profile(profile, "test");
    const double computed = server_power(machine, load).it.raw();
    CHECK(computed == doctest::Approx(it).epsilon(1e-12));
    CHECK(computed * machine.pue == doctest::Approx(facility).epsilon(1e-12));
  };
  check("hgx-h100", {.accelerator = Watts(700)}, 7999.938693123355, 10399.920301060361);
  check("hgx-b200", {.accelerator = Watts(1000)}, 10591.139103994145, 13768.480835192388);
  check("gb200-nvl72", {.accelerator = Watts(824), .host_cpu = Watts(98.8)}, 80674.0345377182,
        88741.43799149002);
}
