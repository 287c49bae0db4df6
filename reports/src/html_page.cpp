#include "html_page.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace jevons::reports {
namespace {

constexpr std::string_view kStyle = R"(
:root{--bg:#fff;--fg:#1c2024;--soft:#60646c;--line:#d9d9e0;--card:#f7f7f9;--warn:#ad5700;--bad:#c62a2f;--good:#18794e;
--c0:#2f6fb2;--c1:#e5832a;--c2:#3f9a62;--c3:#c64b4b;--c4:#8a63b5;--c5:#8c6d53;--c6:#d27bb3;--c7:#7b838c;--c8:#b0a03a;--c9:#3aa6b0}
@media (prefers-color-scheme:dark){:root{--bg:#15171a;--fg:#edeef0;--soft:#a4a8af;--line:#363a3f;--card:#1e2125;--warn:#ffb224;--bad:#ff7a7f;--good:#63c18f;
--c0:#5b9bd8;--c1:#f0a05a;--c2:#63b983;--c3:#e07070;--c4:#a98bd0;--c5:#b3937a;--c6:#e29cc9;--c7:#a0a7af;--c8:#d0c05e;--c9:#62c3cc}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}
main{max-width:66rem;margin:0 auto;padding:1.5rem}h1{font-size:1.5rem;margin:.2rem 0}h2{font-size:1.2rem;margin:2.2rem 0 .4rem;border-top:2px solid var(--line);padding-top:1.2rem}
h3{font-size:1rem;margin:1.4rem 0 .3rem}p{margin:.3rem 0}.soft{color:var(--soft)}code{font-size:.86em;overflow-wrap:anywhere}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:.6rem;margin:.8rem 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.5rem .8rem}.card b{display:block;font-size:1.3rem;font-variant-numeric:tabular-nums}
.card span{color:var(--soft);font-size:.85rem}table{border-collapse:collapse;width:100%;margin:.3rem 0;font-size:.88rem}
caption{text-align:left;color:var(--soft);padding:.2rem 0}th,td{padding:.22rem .5rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
th.n,td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}.assumed td{color:var(--warn)}.bad{color:var(--bad)}.good{color:var(--good)}.warn{color:var(--warn)}
svg{display:block;width:100%;height:auto;margin:.3rem 0}.key{display:inline-block;width:.8em;height:.8em;border-radius:.15em;margin-right:.4em}
details{margin:.6rem 0}summary{cursor:pointer}.wide{overflow-x:auto}td code{overflow-wrap:normal}
.k0{background:var(--c0);fill:var(--c0)}.k1{background:var(--c1);fill:var(--c1)}.k2{background:var(--c2);fill:var(--c2)}.k3{background:var(--c3);fill:var(--c3)}.k4{background:var(--c4);fill:var(--c4)}
.k5{background:var(--c5);fill:var(--c5)}.k6{background:var(--c6);fill:var(--c6)}.k7{background:var(--c7);fill:var(--c7)}.k8{background:var(--c8);fill:var(--c8)}.k9{background:var(--c9);fill:var(--c9)}
svg text{fill:var(--soft);font:12px system-ui,sans-serif}.grid{stroke:var(--line)}.front{fill:none;stroke:var(--c0);stroke-width:1.5}
.limit{stroke:var(--fg);stroke-width:1.5;stroke-dasharray:4 3}.track{fill:var(--card)}
@media print{main{max-width:none;padding:0}details>*{display:block}h2{break-before:auto}table,svg,.card{break-inside:avoid}}
)";

constexpr std::size_t kColours = 10;

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string html_page(const HtmlOptions& options, const std::string& body) {
  std::string page =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n";
  page += "<title>" + escape_html(options.title) + "</title>\n<style>";
  page += kStyle;
  page += "</style></head>\n<body><main>\n<h1>" + escape_html(options.title) + "</h1>\n" + body;
  page += "\n<p class=\"soft\">Made by jevons " + escape_html(options.version);
  if (!options.command.empty()) {
    page += ". Reproduce with <code>" + escape_html(options.command) + "</code>";
  }
  return page + "</p>\n</main></body></html>\n";
}

HtmlTable::HtmlTable(std::string caption, std::vector<std::string> head, std::size_t text_columns)
    : caption_(std::move(caption)), head_(std::move(head)), text_columns_(text_columns) {}

void HtmlTable::row(const std::vector<std::string>& cells, std::string_view css) {
  rows_ += css.empty() ? "<tr>" : fmt::format("<tr class=\"{}\">", css);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    rows_ += i < text_columns_ ? "<td>" : "<td class=\"n\">";
    rows_ += cells[i] + "</td>";
  }
  rows_ += "</tr>\n";
}

std::string HtmlTable::html() const {
  std::string out = "<div class=\"wide\"><table>";
  if (!caption_.empty()) out += "<caption>" + caption_ + "</caption>";
  out += "<thead><tr>";
  for (std::size_t i = 0; i < head_.size(); ++i) {
    out += i < text_columns_ ? "<th>" : "<th class=\"n\">";
    out += head_[i] + "</th>";
  }
  return out + "</tr></thead><tbody>\n" + rows_ + "</tbody></table></div>\n";
}

std::string stacked_bar(const std::string& title, const std::vector<BarPart>& parts, double limit,
                        const std::string& limit_text) {
  double sum = 0;
  for (const BarPart& part : parts) sum += std::max(0.0, part.value);
  if (sum <= 0) return {};
  const double scale = 1000.0 / std::max(sum, limit * 1.02);
  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 1000 40\" role=\"img\"><title>{}</title><rect class=\"track\" x=\"0\" "
      "y=\"4\" "
      "width=\"1000\" height=\"32\"/>",
      escape_html(title));
  HtmlTable legend("", {"part", "value", "share"});
  double at = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].value <= 0) continue;
    const double width = parts[i].value * scale;
    svg += fmt::format("<rect class=\"k{}\" x=\"{:.2f}\" y=\"4\" width=\"{:.2f}\" height=\"32\"/>",
                       i % kColours, at, width);
    at += width;
    legend.row(
        {fmt::format("<span class=\"key k{}\"></span>{}", i % kColours, escape_html(parts[i].name)),
         escape_html(parts[i].shown), fmt::format("{:.1f} %", 100 * parts[i].value / sum)});
  }
  if (limit > 0) {
    svg += fmt::format("<line class=\"limit\" x1=\"{0:.2f}\" x2=\"{0:.2f}\" y1=\"0\" y2=\"40\"/>",
                       limit * scale);
    legend.row(
        {"limit (dashed)", escape_html(limit_text), fmt::format("{:.1f} %", 100 * limit / sum)});
  }
  return svg + "</svg>\n" + legend.html();
}

}  // namespace jevons::reports
