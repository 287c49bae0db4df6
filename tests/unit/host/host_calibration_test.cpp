#include "jevons/hwmodels/host_calibration.hpp"

#include "jevons/core/error.hpp"
#include "jevons/host/measure.hpp"
#include "jevons/hwmodels/catalogue.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <unistd.h>

using jevons::Json;
using namespace jevons::hwmodels;
namespace host = jevons::host;

namespace {

/// A calibration with figures that no two quantities share.
HostCalibration example() {
  HostCalibration c;
  c.processor = "Example 9000 CPU";
  c.level = "avx2";
  c.date = "2026-01-31";
  c.memory_bytes = 16e9;
  c.last_level_cache_bytes = 32e6;
  c.peak_fp32_flops_per_s = {1e11, 0.01, 9};
  c.gemm = {{16, 16, 16, {1e10, 0.02, 9}},
            {64, 64, 64, {6e10, 0.02, 9}},
            {512, 512, 512, {9e10, 0.02, 9}},
            {4, 512, 512, {4e10, 0.02, 9}}};
  c.read.points = {{4096, {8e10, 0.01, 9}}, {4194304, {4e10, 0.01, 9}}, {268435456, {1e10, 0, 9}}};
  c.fresh.points = {{4096, {3e10, 0.01, 9}}, {67108864, {4e9, 0.01, 9}}};
  c.gemv.points = {{4096, {2e10, 0.01, 9}}, {67108864, {1.5e10, 0.01, 9}}};
  c.cold.points = {{260000, {2e10, 0, 9}}, {67108864, {1e10, 0, 9}}};
  c.dot.points = {{32, {2e9, 0, 9}}, {4096, {3e9, 0, 9}}};
  c.axpy.points = {{32, {4e9, 0, 9}}, {4096, {6e9, 0, 9}}};
  double value = 1;
  for (const HostRate& rate : host_rates()) {
    c.rates[std::string(rate.name)] = {1e9 + value++, 0.01, 9};
  }
  c.rates["call_s"] = {5e-8, 0.01, 9};
  c.power_note = "no RAPL counters on this host";
  return c;
}

/// Writes `json` to a file of its own and reads it through the catalogue, as --hw FILE does.
Accelerator through_file(const Json& json) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("jevons-host-" + std::to_string(::getpid()) + ".json");
  std::ofstream(path) << json.dump(2);
  const Accelerator out = Catalogue().accelerator(path.string(), "test");
  std::filesystem::remove(path);
  return out;
}

}  // namespace

TEST_CASE("a calibration survives its SKU file and the catalogue unchanged") {
  const HostCalibration before = example();
  const Accelerator sku = through_file(accelerator_json(before));
  CHECK(sku.peak({jevons::Format::bf16, 0}).raw() == 1e11);  // no bf16 unit: fp32
  CHECK(sku.require("memory_bandwidth_bytes_per_s") == 1e10);
  CHECK(sku.own_constants.size() <= kMaxSkuConstants);
  const HostCalibration after = host_calibration(sku);
  CHECK(after.level == "avx2");
  CHECK(after.peak_fp32_flops_per_s.value == 1e11);
  CHECK(after.memory_bytes == 16e9);
  REQUIRE(after.gemm.size() == 4);
  CHECK(after.gemm[3].m == 4);
  CHECK(after.gemm[3].k == 512);
  CHECK(after.gemm[3].flops_per_s.value == 4e10);
  REQUIRE(after.read.points.size() == 3);
  CHECK(after.read.points[1].first == 4194304);
  CHECK(after.fresh.points[1].second.value == 4e9);
  CHECK(after.gemv.points[0].second.value == 2e10);
  for (const HostRate& rate : host_rates()) {
    CHECK(after.rates.find(rate.name)->second.value == before.rates.find(rate.name)->second.value);
  }
  CHECK_FALSE(after.idle_w);
}

TEST_CASE("every measured figure of a host SKU names the tool, the day, repeats and spread") {
  const Json json = accelerator_json(example());
  const std::string peak = json["figures"]["peak_fp32_flops_per_s"]["source"];
  CHECK(peak ==
        "measured on this host by jevons calibrate on 2026-01-31, median of 9, spread 1.0 %");
  CHECK(json["figures"]["idle_w"]["value"].is_null());
  CHECK(json["figures"]["idle_w"]["note"] == "no RAPL counters on this host");
  for (const Json& entry : json["measured"]) CHECK(entry["mark"] == "primary");
}

TEST_CASE("a SKU that calibrate did not write is refused as a host calibration") {
  const Accelerator h100 = Catalogue().accelerator("h100-sxm", "test");
  CHECK_THROWS_AS(static_cast<void>(host_calibration(h100)), jevons::Error);
  Json json = accelerator_json(example());
  Json kept = Json::array();
  for (const Json& entry : json["measured"]) {
    if (entry["quantity"] != "host rate exp_per_s") kept.push_back(entry);
  }
  json["measured"] = kept;
  CHECK_THROWS_WITH_AS(static_cast<void>(host_calibration(through_file(json))),
                       doctest::Contains("exp_per_s"), jevons::Error);
}

TEST_CASE("a footprint curve is straight in both logarithms and flat beyond its ends") {
  FootprintCurve curve;
  curve.points = {{1e3, {8e9, 0, 1}}, {1e5, {2e9, 0, 1}}};
  CHECK(curve.at(10) == 8e9);
  CHECK(curve.at(1e3) == 8e9);
  CHECK(curve.at(1e4) == doctest::Approx(4e9));  // half way in the logarithm: geometric mean
  CHECK(curve.at(1e5) == doctest::Approx(2e9));
  CHECK(curve.at(1e9) == 2e9);
}

TEST_CASE("median and interquartile spread of known samples") {
  const Sampled odd = host::summary({5, 1, 3, 2, 4});
  CHECK(odd.value == 3);
  CHECK(odd.spread == doctest::Approx((4.0 - 2.0) / 3.0));
  CHECK(odd.repeats == 5);
  CHECK(host::summary({1, 2, 3, 10}).value == 2.5);
}

TEST_CASE("timing divides a fake clock's seconds by the rounds that were run") {
  double now = 0;
  host::Sampling how;
  how.repeats = 3;
  how.sample_s = 1;
  how.clocks.busy = [&] { return now; };
  const Sampled seconds = host::seconds_of(how, [&] { now += 0.25; });
  CHECK(seconds.value == doctest::Approx(0.25));
  CHECK(seconds.spread == doctest::Approx(0.0));
  CHECK(host::rate_of(how, 10, [&] { now += 0.5; }).value == doctest::Approx(20.0));
}

TEST_CASE("power comes from package counters, and their absence is said") {
  namespace fs = std::filesystem;
  const fs::path root = fs::temp_directory_path() / ("jevons-rapl-" + std::to_string(::getpid()));
  const auto count = [&](long microjoules) {
    std::ofstream(root / "intel-rapl:0" / "energy_uj") << microjoules;
  };
  double now = 0;
  host::Clocks clocks;
  clocks.busy = [&] { return now; };
  clocks.wall = [&] { return now += 0.5; };
  clocks.sleep = [&](double s) {
    now += s;
    count(20000000);
  };
  CHECK(host::measure_power(clocks, root.string(), 1).note == "no RAPL counters on this host");
  fs::create_directories(root / "intel-rapl:0");
  fs::create_directories(root / "intel-rapl:0:0");  // a sub-domain: counted in its package
  count(10000000);
  const host::PowerReading power = host::measure_power(clocks, root.string(), 4.5);
  REQUIRE(power.idle_w);
  CHECK(*power.idle_w == doctest::Approx(2.0));  // 10 J in 4.5 s + 0.5 s of the clock call
  fs::remove_all(root);
}

TEST_CASE("a quick calibration of this host is complete and readable") {
  double now = 0;
  host::MeasureOptions options;
  options.quick = true;
  options.date = "2026-01-31";
  options.sampling.repeats = 1;
  options.sampling.sample_s = 1e-9;
  // A clock that always moves on makes every rate positive whatever the machine does.
  options.sampling.clocks.busy = [&] { return now += 1e-3; };
  options.sampling.clocks.wall = [&] { return now += 1e-1; };
  options.sampling.clocks.sleep = [](double) {};
  const HostCalibration c = host::measure_host(options);
  const HostCalibration read = host_calibration(through_file(accelerator_json(c)));
  CHECK(read.gemm.size() == c.gemm.size());
  CHECK(read.read.points.size() == c.read.points.size());
}
