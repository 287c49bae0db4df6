#include "jevons/sim/power.hpp"

#include "jevons/core/error.hpp"
#include "jevons/hwmodels/catalogue.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <string>

using jevons::Bandwidth;
using jevons::Format;
using jevons::Watts;
using jevons::hwmodels::Catalogue;
using jevons::hwmodels::Cluster;
using jevons::hwmodels::ClusterOverrides;
using jevons::hwmodels::make_cluster;
using namespace jevons::sim;

namespace {

Cluster cluster_of(const char* id, long count = 8, ClusterOverrides overrides = {}) {
  return make_cluster(Catalogue().accelerator(id, "test"), count, overrides, "test");
}

Activity at(double terabytes_per_s, double teraflops) {
  Activity activity;
  activity.bytes_per_s = terabytes_per_s * 1e12;
  activity.flops_per_s = teraflops * 1e12;
  return activity;
}

}  // namespace

TEST_CASE("power: three served models on B200 draw within 6 % of the measured watts") {
  // ML.ENERGY Benchmark 3.0, achieved rates per GPU and NVML watts.
  const Cluster b200 = cluster_of("b200-sxm");
  CHECK(chip_power(at(1.011, 7.74), b200).raw() == doctest::Approx(320).epsilon(0.06));
  CHECK(chip_power(at(3.286, 406.1), b200).raw() == doctest::Approx(976).epsilon(0.06));
  CHECK(chip_power(at(1.873, 690.3), b200).raw() == doctest::Approx(962).epsilon(0.06));
}

TEST_CASE("power: an idle chip draws its idle figure and a busy one never passes its cap") {
  const Cluster h100 = cluster_of("h100-sxm");
  Activity idle = at(3.0, 700);
  idle.busy_fraction = 0;
  CHECK(chip_power(idle, h100).raw() == h100.accelerator.require("idle_w"));
  for (const double teraflops : {0.0, 50.0, 200.0, 400.0, 800.0, 1600.0}) {
    const double watts = chip_power(at(2.0, teraflops), h100).raw();
    CHECK(watts <= 700.0);
    CHECK(watts >= chip_power(at(2.0, teraflops * 0.9), h100).raw());
  }
  ClusterOverrides capped;
  capped.power_cap_w = 500;
  CHECK(chip_power(at(3.0, 800), cluster_of("h100-sxm", 8, capped)).raw() < 500.0);
}

TEST_CASE("power: half busy lies half way between idle and busy") {
  const Cluster h100 = cluster_of("h100-sxm");
  Activity activity = at(1.0, 100);
  const double busy = chip_power(activity, h100).raw();
  activity.busy_fraction = 0;
  const double idle = chip_power(activity, h100).raw();
  activity.busy_fraction = 0.5;
  CHECK(chip_power(activity, h100).raw() == doctest::Approx((busy + idle) / 2));
}

TEST_CASE("power: an H100 server at full load adds 300 W per accelerator, and PUE lies on top") {
  PowerSpec spec;
  spec.pue = 1.3;
  Activity full = at(3.3, 5000);
  const PowerEstimate estimate = power(full, cluster_of("h100-sxm", 8), spec);
  // At 700 W the reference gives 7,999.9 W for eight: 1,000 W each.
  CHECK(estimate.it.raw() - estimate.chip.raw() == doctest::Approx(300).epsilon(0.01));
  CHECK(estimate.facility.raw() == doctest::Approx(1.3 * estimate.it.raw()));
  CHECK(estimate.host_source.find("H100") != std::string::npos);
}

TEST_CASE("power: more than one server pays for its scale-out network") {
  const PowerSpec spec;
  const double alone = power(at(2, 300), cluster_of("h100-sxm", 8), spec).it.raw();
  const double many = power(at(2, 300), cluster_of("h100-sxm", 16), spec).it.raw();
  // 80 W of NICs and 68.6 W of switches over eight accelerators, before losses.
  CHECK(many - alone == doctest::Approx((80 + 68.625) / 8).epsilon(0.1));
}

TEST_CASE("power: a host share given in the scenario wins over the profile") {
  PowerSpec spec;
  spec.host_w_per_accelerator = 111;
  const PowerEstimate estimate = power(at(2, 300), cluster_of("h100-sxm"), spec);
  CHECK(estimate.it.raw() - estimate.chip.raw() == doctest::Approx(111));
}

TEST_CASE("power: a SKU without TDP is named when watts are asked for, not before") {
  const Cluster tpu = cluster_of("tpu-v5p", 4);
  CHECK_FALSE(power_known(tpu));
  try {
    (void)power(at(1, 100), tpu, {});
    FAIL("no error");
  } catch (const jevons::Error& error) {
    CHECK(error.message().find("tdp_w") != std::string::npos);
    CHECK(error.message().find("tpu-v5p") != std::string::npos);
  }
}

TEST_CASE("power: the roof of bf16 GEMM on B200 is near the measured 1,392 to 1,640 TFLOP/s") {
  const double bytes = 42.0 / 61e-12;  // 42 W of traffic, as in the worked example: 1,472 TFLOP/s
  const double roof = power_roof({Format::bf16}, Bandwidth(bytes), cluster_of("b200-sxm")).raw();
  CHECK(roof == doctest::Approx(1472e12).epsilon(0.001));
}

TEST_CASE("power: every SKU with a TDP has an answer, 8-bit arithmetic costs no more than 16-bit") {
  const Catalogue catalogue;
  for (const std::string& id : catalogue.accelerator_ids()) {
    const Cluster cluster = cluster_of(id.c_str(), 1);
    if (!power_known(cluster)) continue;
    CAPTURE(id);
    Activity activity = at(0.1, 10);
    const double wide = power(activity, cluster, {}).it.raw();
    activity.format = {Format::fp8};
    const double narrow = power(activity, cluster, {}).it.raw();
    CHECK(std::isfinite(wide));
    CHECK(narrow <= wide * (1 + 1e-12));
  }
}

TEST_CASE("power: the wall power of two MLPerf servers is met within 15 %, without switches") {
  // MLPerf power submissions, 1 Hz traces: 8 x H200 capped at 500 W draw 6,153 to 6,280 W under
  // load and 2,392 to 2,460 W idle; 8 x B200 draw 2,356 to 2,430 W idle. Only the server is on the
  // meter.
  const double network = 405.0;  // in the profile of both servers
  const auto server = [&](const char* id, Activity activity, double cap) {
    ClusterOverrides overrides;
    if (cap > 0) overrides.power_cap_w = cap;
    return 8 * power(activity, cluster_of(id, 8, overrides), {}).it.raw() - network;
  };
  Activity idle;
  idle.busy_fraction = 0;
  CHECK(server("h200-sxm", at(3, 900), 500) == doctest::Approx(6216).epsilon(0.15));
  CHECK(server("h200-sxm", idle, 0) == doctest::Approx(2426).epsilon(0.15));
  CHECK(server("b200-sxm", idle, 0) == doctest::Approx(2393).epsilon(0.15));
}

TEST_CASE("power: a busy chip never draws less than an idle one, whatever it does") {
  for (const std::string& id : Catalogue().accelerator_ids()) {
    const Cluster cluster = cluster_of(id.c_str(), 1);
    if (!power_known(cluster)) continue;
    CAPTURE(id);
    Activity activity;
    const double waiting = chip_power(activity, cluster).raw();
    activity.busy_fraction = 0;
    CHECK(chip_power(activity, cluster).raw() <= waiting);
  }
}

TEST_CASE("power: a rack whose accelerators idle says that it lies outside the calibrated range") {
  PowerSpec spec;
  Activity idle;
  idle.busy_fraction = 0;
  CHECK(power(at(3, 900), cluster_of("gb200-nvl72", 72), spec).warning.empty());
  Cluster rack = cluster_of("gb200-nvl72", 72);
  jevons::hwmodels::override_figure(rack.accelerator, "idle_w", 0);
  CHECK_FALSE(power(idle, rack, spec).warning.empty());
}

TEST_CASE("power: the parts add up to the chip's watts, below the limit and at it") {
  const Cluster h100 = cluster_of("h100-sxm");
  for (const double teraflops : {0.0, 50.0, 400.0, 1600.0}) {
    Activity activity = at(2.0, teraflops);
    activity.tile_flops_per_s = 2e13;
    activity.tile_bytes_per_s = 4e11;
    const Breakdown parts = chip_power_parts(activity, h100);
    double sum = 0;
    for (const Breakdown& part : parts.children) sum += part.value;
    CHECK(sum == doctest::Approx(chip_power(activity, h100).raw()));
  }
}

TEST_CASE("power: a tile's row costs less the more rows share the weights that it reads") {
  // One expert of 4096 x 1536 on H100 in bf16: FLOPs of its tile against the bytes it reads.
  const Cluster h100 = cluster_of("h100-sxm");
  const double parameters = 3.0 * 4096 * 1536;
  const auto joules_per_row = [&](double rows) {
    Activity activity;
    const double base = chip_power(activity, h100).raw();
    constexpr double kTilesPerSecond = 1000;
    activity.tile_flops_per_s = kTilesPerSecond * 2 * parameters * rows;
    activity.tile_bytes_per_s = kTilesPerSecond * 2 * parameters;
    return (chip_power(activity, h100).raw() - base) / (kTilesPerSecond * rows);
  };
  // 2 parameters x (0.47 pJ/FLOP + 55 pJ/B / rows).
  CHECK(joules_per_row(8) ==
        doctest::Approx(2 * parameters * (0.47e-12 + 55e-12 / 8)).epsilon(0.02));
  CHECK(joules_per_row(64) ==
        doctest::Approx(2 * parameters * (0.47e-12 + 55e-12 / 64)).epsilon(0.02));
}

TEST_CASE("power: 16-bit layers of a 4-bit checkpoint burn 16-bit energy") {
  const Cluster b200 = cluster_of("b200-sxm");
  Activity narrow, wide;
  narrow.format = wide.format = jevons::NumberFormat{Format::nvfp4};
  narrow.flops_per_s = 1e14;
  wide.wide_flops_per_s = 1e14;
  const double rest = chip_power(Activity{}, b200).raw();
  CHECK((chip_power(wide, b200).raw() - rest) / (chip_power(narrow, b200).raw() - rest) ==
        doctest::Approx(1.3 / 0.47).epsilon(0.02));
}

TEST_CASE("power: a cap of 500 of 700 W costs a busy H200 19 % of its rate, an idle one nothing") {
  // MLPerf Inference, Llama-2-70B Offline: 25,262 against 31,303 tokens/s on eight H200.
  ClusterOverrides cap;
  cap.power_cap_w = 500;
  const Cluster capped = cluster_of("h200-sxm", 8, cap);
  Activity full = at(2.0, 700);
  full.format = {Format::fp8};
  while (chip_power(full, cluster_of("h200-sxm")).raw() < 680) full.flops_per_s *= 1.05;
  CHECK(1 / cap_stretch(full, capped, 0.6) == doctest::Approx(25262.0 / 31303).epsilon(0.03));
  CHECK(cap_stretch(at(0.5, 10), capped, 0.6) == 1.0);
  CHECK(cap_stretch(full, cluster_of("h200-sxm"), 0.6) == 1.0);
}
