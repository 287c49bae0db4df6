// Proof by the clock: only meaningful on a machine that does nothing else, therefore not part of
// the test run unless the build asks for it (JEVONS_TIMED_TESTS).
#include "jevons/host/kernel_cases.hpp"
#include "jevons/host/measure.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <ctime>
#include <thread>

namespace host = jevons::host;

TEST_CASE("the clock: products reach 70 % of peak, kernels take the predicted time") {
  host::keep_memory();
  host::MeasureOptions options;
  options.date = "today";
  const auto clock = [](clockid_t id) {
    return [id] {
      timespec now{};
      clock_gettime(id, &now);
      return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
    };
  };
  options.sampling.clocks = {clock(CLOCK_THREAD_CPUTIME_ID), clock(CLOCK_MONOTONIC), [](double s) {
                               std::this_thread::sleep_for(std::chrono::duration<double>(s));
                             }};
  const auto calibration = host::measure_host(options);
  CHECK(calibration.best_gemm_fraction() >= 0.7);
  const host::KernelReport report =
      host::run_kernels(host::HostModel(calibration), options.sampling, host::kernel_cases(),
                        [](std::string_view) {});
  for (const host::KernelRow& row : report.rows) {
    CAPTURE(row.name);
    CHECK(std::abs(row.error()) <= 0.35);
  }
  CHECK(report.median_absolute_error() <= 0.15);
}
