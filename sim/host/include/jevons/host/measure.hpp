// Measures the machine it runs on: see hwmodels/host_calibration.hpp for what and in which units.
#pragma once

#include "jevons/host/sampling.hpp"
#include "jevons/hwmodels/host_calibration.hpp"

#include <functional>
#include <string>
#include <string_view>

namespace jevons::host {

struct MeasureOptions {
  Sampling sampling;
  std::string date;    ///< YYYY-MM-DD
  bool quick = false;  ///< fewer shapes and footprints
  std::function<void(std::string_view)> progress = [](std::string_view) {};
};

[[nodiscard]] hwmodels::HostCalibration measure_host(const MeasureOptions& options);

/// Idle and busy watts of the processor package(s) from the RAPL counters under `root`
/// (/sys/class/powercap), `seconds` each; or the reason why there are none.
struct PowerReading {
  std::optional<double> idle_w, busy_w;
  std::string note;
};
[[nodiscard]] PowerReading measure_power(const Clocks& clocks, const std::string& root,
                                         double seconds);

}  // namespace jevons::host
