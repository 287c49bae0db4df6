// Results as terminal tables and CSV.
#pragma once

#include "jevons/sim/result.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace jevons::reports {

struct TextOptions {
  bool color = false;      ///< ANSI escapes
  bool operators = false;  ///< the operator table in full, not only the longest
  bool formulas = false;   ///< how each part came about, with the numbers in it
};

[[nodiscard]] std::string result_to_text(const sim::Result& result, const TextOptions& options);
/// Long form, one row per metric: scenario,metric,value,unit. RFC 4180.
[[nodiscard]] std::string results_to_csv(std::span<const sim::Result> results);

/// Columns padded to their widest cell. The first `text_columns` are texts, then come
/// `number_columns` aligned to the right, then texts again.
class TextTable {
 public:
  TextTable(std::vector<std::string> head, std::size_t text_columns = 1,
            std::size_t number_columns = 1000);
  void row(std::vector<std::string> cells);
  [[nodiscard]] std::string text(std::string_view indent = "  ") const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::size_t text_columns_, number_columns_;
};

/// One CSV record with its line end; cells quoted where they must be. A cell that a spreadsheet
/// would take for a formula gets a leading apostrophe.
[[nodiscard]] std::string csv_record(std::span<const std::string> cells);
/// Control characters of a text that comes from outside made visible, so that it cannot steer the
/// terminal.
[[nodiscard]] std::string printable(std::string_view text);
/// Columns that a UTF-8 text takes (every code point as one).
[[nodiscard]] std::size_t display_width(std::string_view text);

}  // namespace jevons::reports
