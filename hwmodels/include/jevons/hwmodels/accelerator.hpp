// One accelerator SKU: datasheet figures and calibrated constants, each with its source.
#pragma once

#include "jevons/core/precision.hpp"
#include "jevons/core/provenance.hpp"
#include "jevons/core/units.hpp"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace jevons::hwmodels {

/// A datasheet figure. `value` is empty when the format or feature does not exist (the note says
/// so).
struct Figure {
  std::optional<double> value;
  std::string text;            ///< for figures that are words (memory type, topology, dates)
  std::vector<double> values;  ///< for figures that are a range or a list of variants
  Source source;
  std::string note;
};

/// A published measurement of the part (best GEMM rate, copy bandwidth …); shown, not used.
struct Measurement {
  std::string quantity;
  std::vector<double> values;  ///< one value, or a range
  std::optional<double> fraction_of_peak;
  std::optional<double> ranks, bytes;  ///< of a collective
  Source source;
  std::string note;
};

/// Named calibrated constants: what each means is documented in the data file that gives it.
class Constants {
 public:
  /// Throws Error(internal) when no file of the chain SKU → class → generic gives the name.
  [[nodiscard]] double at(std::string_view name) const;
  [[nodiscard]] const Sourced* find(std::string_view name) const;
  void set(std::string name, Sourced value);
  /// Values of `other` win.
  void overlay(const Constants& other);
  [[nodiscard]] const std::map<std::string, Sourced, std::less<>>& all() const { return values_; }

 private:
  std::map<std::string, Sourced, std::less<>> values_;
};

enum class ScaleUpTopology {
  nvlink_switch,
  switched,
  mesh,
  ring,
  torus_2d,
  torus_3d,
  hypercube,
  dragonfly,
  pcie,
  none
};

struct Accelerator {
  std::string id, name, vendor, kind;
  std::string generation;  ///< class of parts that share kernels: "hopper", "blackwell", "cdna3" …
  std::string compute_unit_kind;
  std::string server;  ///< id of the server power profile it sits in; empty: none is known
  std::map<std::string, Figure, std::less<>> figures;
  std::vector<Measurement> measured;
  /// generic ← class ← SKU, merged by the catalogue.
  Constants constants;
  std::vector<std::string> notes;
  /// Names in `constants` that this SKU's own file gives (at most eight).
  std::vector<std::string> own_constants;

  /// A figure that the run needs. Throws Error(bad_input) that names SKU and figure; never a
  /// default.
  [[nodiscard]] double require(std::string_view figure) const;
  [[nodiscard]] std::optional<double> find(std::string_view figure) const;
  [[nodiscard]] ScaleUpTopology topology() const;
  [[nodiscard]] bool has_nvls() const;  ///< in-switch reduction

  /// Dense peak for GEMM inputs of this format. A format the chip lacks runs at the next wider one
  /// it has (contract: peaks are dense): fp8-block and mxfp8 as fp8; nvfp4, mxfp4 as fp4; mxfp6 as
  /// fp6 or fp8; int4 and bits as the activation type. Throws Error(bad_input) if none is known.
  [[nodiscard]] FlopRate peak(NumberFormat format) const;
  [[nodiscard]] bool has_peak(NumberFormat format) const;  ///< peak() would not throw
  /// The name of the figure that peak() takes for this format.
  [[nodiscard]] std::string peak_figure(NumberFormat format) const;
};

/// Every figure name a SKU file may use, sorted.
[[nodiscard]] std::vector<std::string> figure_names();
/// At most this many constants of its own.
inline constexpr std::size_t kMaxSkuConstants = 8;

/// Overrides a figure, as contract section 1 allows for the cluster; marked as given by the
/// scenario.
void override_figure(Accelerator& accelerator, std::string_view figure, double value);

}  // namespace jevons::hwmodels
