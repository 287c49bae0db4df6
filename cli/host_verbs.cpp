// calibrate: measures this machine as a SKU file. kernels: times the reference kernels on it
// against what such a file predicts.
#include "output.hpp"
#include "verbs.hpp"

#include "jevons/host/kernel_report.hpp"
#include "jevons/host/measure.hpp"
#include "jevons/hwmodels/catalogue.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <ctime>
#include <memory>
#include <string>
#include <thread>

namespace jevons::cli {
namespace {

double seconds_of_clock(clockid_t id) {
  timespec now{};
  clock_gettime(id, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

host::Sampling sampling(bool quick) {
  host::Sampling out;
  // Time of this thread alone: what other processes take between does not count.
  out.clocks.busy = [] { return seconds_of_clock(CLOCK_THREAD_CPUTIME_ID); };
  out.clocks.wall = [] { return seconds_of_clock(CLOCK_MONOTONIC); };
  out.clocks.sleep = [](double s) {
    std::this_thread::sleep_for(std::chrono::duration<double>(s));
  };
  out.repeats = quick ? 7 : 15;
  out.sample_s = quick ? 1e-3 : 4e-3;
  return out;
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  return fmt::format("{:04}-{:02}-{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday);
}

hwmodels::HostCalibration measure(const Options& options) {
  host::keep_memory();
  host::MeasureOptions how;
  how.sampling = sampling(options.quick);
  how.quick = options.quick;
  how.date = today();
  if (!options.quiet) {
    how.progress = [](std::string_view what) { note(fmt::format("measuring {}\n", what)); };
  }
  return host::measure_host(how);
}

std::string summary_text(const hwmodels::HostCalibration& c) {
  std::string out = fmt::format("{}, one thread, {} code\n", c.processor, c.level);
  out += fmt::format("  peak fp32        {:8.1f} GFLOP/s (spread {:.1f} %)\n",
                     1e-9 * c.peak_fp32_flops_per_s.value, 100 * c.peak_fp32_flops_per_s.spread);
  out += fmt::format("  best product     {:8.1f} GFLOP/s, {:.0f} % of peak\n",
                     1e-9 * c.best_gemm_fraction() * c.peak_fp32_flops_per_s.value,
                     100 * c.best_gemm_fraction());
  for (const auto& [bytes, rate] : c.read.points) {
    out += fmt::format("  read {:>9.0f} KiB {:7.1f} GB/s (spread {:.1f} %)\n", bytes / 1024,
                       1e-9 * rate.value, 100 * rate.spread);
  }
  out += fmt::format("  call             {:8.1f} ns\n", 1e9 * c.rates.find("call_s")->second.value);
  if (c.idle_w && c.busy_w) {
    out += fmt::format("  power            {:8.1f} W idle, {:.1f} W busy\n", *c.idle_w, *c.busy_w);
  } else {
    out += "  power            not measured: " + c.power_note + "\n";
  }
  return out;
}

}  // namespace

int calibrate_verb(const Options& options) {
  OutputFile file("-o", options.output.value_or("-"));
  const hwmodels::HostCalibration calibration = measure(options);
  file.write(hwmodels::accelerator_json(calibration).dump(2) + "\n");
  if (!options.quiet && !file.is_stdout()) print(summary_text(calibration));
  return 0;
}

int kernels_verb(const Options& options) {
  std::unique_ptr<OutputFile> json, html;
  if (options.json) json = std::make_unique<OutputFile>("--json", *options.json);
  if (options.html) html = std::make_unique<OutputFile>("--html", *options.html);
  host::keep_memory();
  const hwmodels::HostCalibration calibration =
      options.sku
          ? hwmodels::host_calibration(hwmodels::Catalogue().accelerator(*options.sku, "--sku"))
          : measure(options);
  const auto progress = [&](std::string_view name) {
    if (!options.quiet) note(fmt::format("running {}\n", name));
  };
  const host::KernelReport report = host::run_kernels(
      host::HostModel(calibration), sampling(options.quick), host::kernel_cases(), progress);
  if (json) json->write(host::report_json(report).dump(2) + "\n");
  if (html) html->write(host::report_html(report));
  if (!options.quiet && !(json && json->is_stdout())) print(host::report_table(report));
  return 0;
}

}  // namespace jevons::cli
