// What a run says (contract section 2). Pure data: reports turn it into JSON, tables, HTML.
#pragma once

#include "jevons/core/provenance.hpp"
#include "jevons/sim/scenario.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace jevons::sim {

/// Flat metrics in the order they were set.
class Metrics {
 public:
  using Value = std::variant<double, bool, std::string>;
  struct Item {
    std::string name;
    Value value;
  };
  void set(std::string_view name, double value);
  void set_flag(std::string_view name, bool value);
  void set_text(std::string_view name, std::string_view value);
  [[nodiscard]] std::optional<double> number(
      std::string_view name) const;  ///< flags as 0 or 1, not texts
  [[nodiscard]] std::optional<bool> flag(std::string_view name) const;
  [[nodiscard]] std::optional<std::string> text(std::string_view name) const;
  [[nodiscard]] const std::vector<Item>& items() const { return items_; }

 private:
  std::vector<Item> items_;
};

/// A tree of parts that add up to their parent ("step_time_s" → "bubble" …).
struct Breakdown {
  std::string name;
  double value = 0;
  std::string unit;  ///< "s", "bytes", "usd", "w"
  std::vector<Breakdown> children;
  std::string formula;  ///< how the value came about, with the numbers in it; for `explain`
};

struct Warning {
  std::string code, message, path;
};

/// Why it cannot run, and the smallest change found that would make it fit.
struct Infeasible {
  std::string reason;
  std::string smallest_change;  ///< empty when none was found
};

/// One operator of the layer or op that was costed (roofline table).
struct OperatorRow {
  std::string name, kind, phase, format, bound;
  double calls = 1;  ///< per step on the rank
  double time_s = 0, flops = 0, bytes = 0;
  double peak_flops_per_s = 0;
  std::string formula;
};

struct Result {
  Scenario scenario;
  Metrics metrics;
  std::vector<Breakdown> breakdown;
  std::vector<OperatorRow> operators;
  std::vector<InputSource> provenance;
  std::vector<Warning> warnings;
  std::optional<Infeasible> infeasible;
};

}  // namespace jevons::sim
