// The scoreboard: every case of truth files is run and compared with what was measured
// (contract section 3). error = predicted / measured - 1; a case that cannot run counts as failed.
#pragma once

#include "jevons/core/json_reader.hpp"
#include "jevons/hwmodels/catalogue.hpp"
#include "jevons/sim/run.hpp"

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace jevons::reports {

/// One measured fact of a truth file, not yet run.
struct TruthCase {
  std::string file, id, group, source;
  std::string scenario;  ///< JSON text of the scenario
  struct Fact {
    std::string metric;
    double value = 0;  ///< flags as 0 or 1
    bool is_flag = false;
  };
  std::vector<Fact> measured;
};

/// Reads a `jevons.truth/1` file strictly. Throws Error(bad_input) with file and pointer.
[[nodiscard]] std::vector<TruthCase> read_truth(const std::string& path);

/// One (case, metric) row of the scoreboard.
struct ValidationRow {
  std::string id, group, metric;
  double measured = 0;
  std::optional<double> predicted;
  std::optional<double> error;  ///< predicted / measured - 1; absent for flags and failures
  bool is_flag = false;
  std::string reason;     ///< why it failed; empty otherwise
  std::string dominated;  ///< largest part of the predicted time, for the worst rows
};

/// Errors of a set of rows. Percentiles interpolate linearly between order statistics.
struct ValidationStatistics {
  long n = 0;         ///< rows scored, flags included
  long failures = 0;  ///< rows that could not run
  double mape = 0, median = 0, bias = 0, p90 = 0;
  long flags = 0, said_true_was_false = 0, said_false_was_true = 0;
};

struct Validation {
  std::vector<ValidationRow> rows;  ///< in file order
  ValidationStatistics overall;
  std::map<std::string, ValidationStatistics> by_metric, by_group;
};

struct ValidationOptions {
  std::vector<std::string> group_prefixes;  ///< empty: all
  unsigned threads = 0;                     ///< 0: all cores
  sim::RunOptions run;
};

[[nodiscard]] Validation validate(std::span<const TruthCase> cases,
                                  const hwmodels::Catalogue& catalogue,
                                  const ValidationOptions& options);

[[nodiscard]] ValidationStatistics statistics(std::span<const ValidationRow> rows);

/// The rows with the largest absolute error, worst first.
[[nodiscard]] std::vector<ValidationRow> worst_rows(const Validation& validation,
                                                    std::size_t count = 20);

/// `jevons.validation/1`.
[[nodiscard]] Json validation_to_json(const Validation& validation);
/// Overall, by metric, by group, failures by reason, worst rows.
[[nodiscard]] std::string validation_to_text(const Validation& validation);
/// The README's table: one line per family of groups (the first two parts of the group name).
[[nodiscard]] std::string validation_to_markdown(const Validation& validation);

/// "median>8%", "p90>=0.3", "failures>0", "|bias|>2%", optionally scoped by a metric or a group
/// prefix: "tpot_p50_s:median>6%", "op/h100-sxm/:median>12%", "each group:median>12%". Returns the
/// sentence that says what failed, or empty. Throws Error(usage) on a malformed condition and
/// Error(bad_input) when the scope matches nothing.
[[nodiscard]] std::string failed_condition(const Validation& validation,
                                           const std::string& condition);

}  // namespace jevons::reports
