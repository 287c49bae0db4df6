// Pieces every HTML page shares: frame, tables, stacked bars. Private to reports.
#pragma once

#include "jevons/reports/html.hpp"

#include <string>
#include <utility>
#include <vector>

namespace jevons::reports {

/// The whole page around `body` (which is trusted: made of escaped pieces).
[[nodiscard]] std::string html_page(const HtmlOptions& options, const std::string& body);

/// Rows of cells that are already escaped; the first column is text, the others are numbers unless
/// `text_columns` says so.
class HtmlTable {
 public:
  HtmlTable(std::string caption, std::vector<std::string> head, std::size_t text_columns = 1);
  void row(const std::vector<std::string>& cells, std::string_view css = {});
  [[nodiscard]] std::string html() const;
  [[nodiscard]] bool empty() const { return rows_.empty(); }

 private:
  std::string caption_;
  std::vector<std::string> head_;
  std::size_t text_columns_;
  std::string rows_;
};

/// A horizontal stacked bar as inline SVG with a legend table as its twin in text.
struct BarPart {
  std::string name;  ///< escaped by the function
  double value = 0;
  std::string shown;  ///< the value as people read it
};
/// `limit` > 0 draws a line (memory capacity).
[[nodiscard]] std::string stacked_bar(const std::string& title, const std::vector<BarPart>& parts,
                                      double limit = 0, const std::string& limit_text = {});

}  // namespace jevons::reports
