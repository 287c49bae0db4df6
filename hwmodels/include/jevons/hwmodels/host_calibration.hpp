// What `jevons calibrate` measured of the machine it ran on, and the SKU file that carries it.
//
// Everything is one thread: the reference kernels are. The SKU's peak is therefore that of one
// core, and its memory bandwidth what one core can pull.
#pragma once

#include "jevons/core/json_reader.hpp"
#include "jevons/hwmodels/accelerator.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace jevons::hwmodels {

/// Median of `repeats` samples; spread is the interquartile range over the median.
struct Sampled {
  double value = 0.0;
  double spread = 0.0;
  int repeats = 0;
};

/// Rate of a product (m x k) · (k x n) in single precision.
struct GemmSample {
  long m = 0, n = 0, k = 0;
  Sampled flops_per_s;
};

/// Rate over the bytes that a loop walks through (again and again, or a row at a time), smallest
/// first.
struct FootprintCurve {
  std::vector<std::pair<double, Sampled>> points;
  /// Between points straight in both logarithms; before the first and after the last as there
  /// (L1 and DRAM: the curve has ended).
  [[nodiscard]] double at(double bytes) const;
};

/// A class of work whose rate is measured once on a generic loop, not on any kernel.
struct HostRate {
  std::string_view name;  ///< ends in its unit
  std::string_view meaning;
};
[[nodiscard]] const std::vector<HostRate>& host_rates();

struct HostCalibration {
  std::string processor;  ///< as the operating system names it
  std::string level;      ///< instruction-set level of the vector code
  std::string date;       ///< YYYY-MM-DD
  double memory_bytes = 0.0;
  std::optional<double> last_level_cache_bytes;
  Sampled peak_fp32_flops_per_s;
  std::vector<GemmSample> gemm;
  FootprintCurve read;   ///< bytes read per second
  FootprintCurve fresh;  ///< bytes allocated, set and freed per second
  FootprintCurve gemv;   ///< bytes of the matrix per second in (1 x k) · (k x n)
  FootprintCurve cold;   ///< the same over matrices in turn, by the bytes of all of them
  FootprintCurve dot;    ///< FLOP/s of scalar products, summed in order, by bytes of a row
  FootprintCurve axpy;   ///< FLOP/s of adding a row to another with a weight, by bytes of a row
  std::map<std::string, Sampled, std::less<>> rates;  ///< one for each of host_rates()
  std::optional<double> idle_w, busy_w;
  std::string power_note;  ///< why there is no power figure, or what it covers

  /// Largest measured GEMM rate over the measured peak.
  [[nodiscard]] double best_gemm_fraction() const;
};

/// A SKU file (schema jevons.accelerator/1) that names this measurement as its source.
[[nodiscard]] Json accelerator_json(const HostCalibration& calibration);
/// The calibration inside such a SKU. Throws Error(bad_input) that names what is missing when the
/// SKU was not written by `jevons calibrate`.
[[nodiscard]] HostCalibration host_calibration(const Accelerator& accelerator);

}  // namespace jevons::hwmodels
