// The prediction of kernels on a calibrated host, on calibrations made by hand. Nothing here times.
#include "jevons/host/host_model.hpp"

#include "jevons/core/error.hpp"
#include "jevons/host/kernel_cases.hpp"
#include "jevons/host/kernel_report.hpp"
#include "jevons/reference/attention.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

using namespace jevons::host;
using jevons::Json;
using jevons::hwmodels::FootprintCurve;
using jevons::hwmodels::HostCalibration;
namespace wl = jevons::workloads;

namespace {

constexpr double kStart = 2e-7, kPerFlop = 1e-11, kPerPacked = 2e-10, kPerResult = 5e-10;

FootprintCurve flat(double rate) {
  FootprintCurve curve;
  curve.points = {{1024, {rate, 0, 1}}, {1e9, {rate, 0, 1}}};
  return curve;
}

/// A host whose products follow the model's own form exactly, every loop at one rate.
HostCalibration ideal() {
  HostCalibration c;
  c.processor = "ideal <host>";
  c.level = "avx2";
  c.date = "2026-01-31";
  c.peak_fp32_flops_per_s = {1e11, 0, 1};
  for (const auto& [m, n, k] :
       {std::array{16L, 16L, 16L}, std::array{200L, 200L, 200L}, std::array{4L, 500L, 300L},
        std::array{64L, 90L, 700L}, std::array{300L, 700L, 20L}}) {
    const auto md = static_cast<double>(m), nd = static_cast<double>(n),
               kd = static_cast<double>(k);
    const double t = kStart + kPerFlop * 2 * md * nd * kd + kPerPacked * (md * kd + kd * nd) +
                     kPerResult * md * nd;
    c.gemm.push_back({m, n, k, {2 * md * nd * kd / t, 0, 1}});
  }
  c.read = flat(5e10);
  c.fresh = flat(1e10);
  c.gemv = flat(2e10);
  c.cold = flat(2e10);
  c.dot = flat(2e9);
  c.axpy = flat(4e9);
  for (const auto& rate : jevons::hwmodels::host_rates()) {
    c.rates[std::string(rate.name)] = {1e9, 0, 1};
  }
  c.rates["call_s"] = {1e-7, 0, 1};
  return c;
}

wl::Operator fp32(wl::Shape shape, wl::Module module = wl::Module::other) {
  wl::Operator op;
  op.shape = std::move(shape);
  op.format = op.weight_format = op.activation_format = {jevons::Format::fp32, 0};
  op.module = module;
  return op;
}

}  // namespace

TEST_CASE("host model: the product's coefficients are found again from products that obey it") {
  const HostModel model(ideal());
  const double m = 37, n = 131, k = 257;  // not among the samples
  const double expected =
      kStart + kPerFlop * 2 * m * n * k + kPerPacked * (m * k + k * n) + kPerResult * m * n;
  CHECK(model.product_seconds({m, n, k}) == doctest::Approx(expected).epsilon(1e-9));
  CHECK(model.product_seconds({m, n, k, 3}) == doctest::Approx(3 * expected).epsilon(1e-9));
  // One row streams the matrix: a call and 4 k n bytes at 20 GB/s.
  CHECK(model.product_seconds({1, 500, 300}) == doctest::Approx(1e-7 + 4 * 500 * 300 / 2e10));
}

TEST_CASE("host model: every class of work takes its amount over its rate, and they add up") {
  const HostModel model(ideal());
  HostWork w;
  w.calls = 2;             // 0.2 us
  w.dots = {{4000, 64}};   // 2 us at 2 GFLOP/s
  w.axpys = {{4000, 64}};  // 1 us
  w.exps = 1000;           // 1 us
  w.turns = 500;           // 0.5 us
  w.elements = 250;        // 0.25 us
  w.copies = 250;          // 0.25 us
  w.choices = 300;         // 0.3 us
  w.results = {5000};      // 0.5 us at 10 GB/s
  CHECK(model.seconds(w) == doctest::Approx(6e-6));
  HostWork other;
  other.products = {{37, 131, 257}};
  other.exps = 7;
  HostWork both = w;
  both += other;
  CHECK(model.seconds(both) == doctest::Approx(model.seconds(w) + model.seconds(other)));
}

TEST_CASE("host model: time is positive and grows with each size and with the working set") {
  HostCalibration c = ideal();
  c.cold.points = {{262144, {4e10, 0, 1}}, {6.7e7, {1e10, 0, 1}}};
  const HostModel model(c);
  for (const double m : {1.0, 2.0, 16.0, 250.0}) {
    double before = 0;
    for (const double n : {8.0, 64.0, 300.0, 2000.0}) {
      const double t = model.product_seconds({m, n, 128});
      CHECK(t > before);
      CHECK(model.product_seconds({m, n, 256}) > t);
      CHECK(model.product_seconds({m, n, 128}, 5e7) > t);
      CHECK(model.product_seconds({m, n, 128}, 1e6) < model.product_seconds({m, n, 128}, 5e7));
      before = t;
    }
  }
}

TEST_CASE("host work: a scalar product and a weighted row for each pair of a short attention") {
  wl::AttentionCore core;
  core.phase = wl::AttentionPhase::decode;
  core.heads = 6;
  core.kv_heads = 2;
  core.kv_len = 100;  // 1 x 100 pairs: loops
  core.qk_dim = 48;
  core.v_dim = 32;
  const HostWork w = host_work(fp32(core));
  REQUIRE(w.dots.size() == 1);
  CHECK(w.dots[0].flops == 2.0 * 600 * 48);
  CHECK(w.dots[0].length == 48);
  CHECK(w.axpys[0].flops == 2.0 * 600 * 32);
  CHECK(w.exps == 600);
  CHECK(w.products.empty());
}

TEST_CASE("host work: long attention makes and masks every score by products") {
  wl::AttentionCore core;
  core.heads = 6;
  core.kv_heads = 2;
  core.q_len = core.kv_len = 64;
  core.qk_dim = 48;
  core.v_dim = 32;
  REQUIRE(64 * 64 >= jevons::reference::kWorthProducts);
  const HostWork w = host_work(fp32(core));
  REQUIRE(w.products.size() == 2);
  CHECK(w.products[0].k == 48);
  CHECK(w.products[1].n == 32);
  CHECK(w.products[0].count == 6);
  CHECK(w.exps == 6 * 64 * 64);
}

TEST_CASE("host work: loops do the FLOPs that the operator claims") {
  wl::AttentionCore core;
  core.phase = wl::AttentionPhase::backward;
  core.heads = core.kv_heads = 3;
  core.q_len = core.kv_len = 20;
  core.qk_dim = 24;
  core.v_dim = 16;
  wl::MlaDecode latent;
  latent.heads = 2;
  latent.kv_len = 30;
  latent.kv_lora_rank = 64;
  latent.rope_dim = 16;
  for (const wl::Operator& op : {fp32(core), fp32(latent)}) {
    const HostWork w = host_work(op);
    double flops = 0;
    for (const Rows& r : w.dots) flops += r.flops;
    for (const Rows& r : w.axpys) flops += r.flops;
    CHECK(flops == doctest::Approx(work_of(op).flops));
  }
}

TEST_CASE("host work: experts' products do the claimed FLOPs, lone rows apart or not") {
  for (const double tokens : {1.0, 3.0, 60.0}) {
    wl::MoeExperts moe;
    moe.tokens = tokens;
    moe.hidden = 64;
    moe.intermediate = 32;
    moe.top_k = 2;
    moe.experts = 16;
    moe.routing = wl::Routing::uniform;
    const wl::Operator op = fp32(moe);
    double flops = 0;
    for (const Product& p : host_work(op).products) flops += 2 * p.m * p.n * p.k * p.count;
    CHECK(flops == doctest::Approx(work_of(op).flops));
  }
}

TEST_CASE("host work: a host runs no collectives") {
  CHECK_THROWS_AS(static_cast<void>(host_work(fp32(wl::Collective{}))), jevons::Error);
}

TEST_CASE("kernel cases: each has a name of its own, a positive prediction, and runs") {
  const HostModel model(ideal());
  std::vector<std::string> names;
  for (const KernelCase& c : kernel_cases()) {
    CAPTURE(c.name);
    CHECK(std::find(names.begin(), names.end(), c.name) == names.end());
    names.push_back(c.name);
    CHECK(model.seconds(c.work, c.working_set) > 0);
    c.run();
  }
  CHECK(names.size() > 25);
}

TEST_CASE("kernel report: errors, median and worst of known rows; JSON and HTML say the same") {
  KernelReport report;
  report.processor = "ideal <host>";
  report.calibrated = "2026-01-31";
  report.rows = {{"product", "a", 1e6, 1.1e-6, {1e-6, 0.02, 9}},
                 {"product", "b", 1e6, 0.8e-6, {1e-6, 0.02, 9}},
                 {"toy model", "c <d>", 0, 1.0e-6, {1e-6, 0.02, 9}}};
  CHECK(report.median_absolute_error() == doctest::Approx(0.1));
  CHECK(report.worst_absolute_error() == doctest::Approx(0.2));
  const Json json = Json::parse(report_json(report).dump());
  CHECK(json["schema"] == "jevons.kernels/1");
  CHECK(json["rows"].size() == 3);
  CHECK(json["rows"][1]["error"].get<double>() == doctest::Approx(-0.2));
  CHECK(json["median_absolute_error"].get<double>() == doctest::Approx(0.1));
  const std::string html = report_html(report);
  CHECK(html.find("c &lt;d&gt;") != std::string::npos);
  CHECK(html.find("<d>") == std::string::npos);
  CHECK(html.find("<script") == std::string::npos);
  CHECK(report_table(report).find("-20.0") != std::string::npos);
}

TEST_CASE("kernel report: a fake clock's seconds are what the rows say was measured") {
  double now = 0;
  Sampling how;
  how.repeats = 3;
  how.sample_s = 1e-9;
  how.clocks.busy = [&] { return now; };
  KernelCase c;
  c.name = "four microseconds";
  c.work.exps = 5000;  // 5 us predicted
  c.run = [&] { now += 4e-6; };
  std::vector<KernelCase> cases{c};
  const KernelReport report = run_kernels(HostModel(ideal()), how, cases, [](std::string_view) {});
  CHECK(report.rows[0].measured_s.value == doctest::Approx(4e-6));
  CHECK(report.rows[0].error() == doctest::Approx(0.25));
}
