// Writing results to the places the command line named.
#pragma once

#include "options.hpp"
#include "output.hpp"

#include "jevons/core/json_reader.hpp"
#include "jevons/reports/text.hpp"
#include "jevons/sim/result.hpp"

#include <memory>
#include <span>

namespace jevons::cli {

/// --json, --html, --csv and the table. Places are claimed on construction.
class ResultOutputs {
 public:
  /// Throws Error(usage) when two formats ask for standard output.
  explicit ResultOutputs(const Options& options);
  void write(std::span<const sim::Result> results, const reports::TextOptions& text);
  /// The table goes to standard output unless another format does, or --quiet.
  [[nodiscard]] bool wants_table() const { return table_; }
  void write_json(const Json& document);
  void write_csv(const std::string& text);
  void write_html(const std::string& text);
  [[nodiscard]] bool wants_json() const { return json_ != nullptr; }
  [[nodiscard]] bool wants_csv() const { return csv_ != nullptr; }
  [[nodiscard]] bool wants_html() const { return html_ != nullptr; }

 private:
  const Options& options_;
  std::unique_ptr<OutputFile> json_, html_, csv_;
  bool table_ = true;
};

/// One result, or {"schema": "jevons.results/1", "results": […]} for several.
[[nodiscard]] Json results_json(std::span<const sim::Result> results);
/// Reason and smallest change on standard error; exit code 4.
[[nodiscard]] int report_infeasible(const sim::Result& result);
[[nodiscard]] std::string dump(const Json& document);  ///< indented, with a line end

}  // namespace jevons::cli
