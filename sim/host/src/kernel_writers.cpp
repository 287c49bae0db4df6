#include "jevons/host/kernel_report.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>

namespace jevons::host {
namespace {

std::string formatted(const char* format, double value) {
  char text[40];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string rate(const KernelRow& row) {
  return row.flops > 0 ? formatted("%.1f", row.flops / row.measured_s.value * 1e-9) : "";
}

constexpr std::string_view kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}td,th{padding:.2rem .6rem;text-align:right;"
    "border-bottom:1px solid #8884}td:nth-child(-n+2),th:nth-child(-n+2){text-align:left}"
    ".bar{display:inline-block;height:.7em;background:#4a7ebb;vertical-align:baseline}"
    "@media(prefers-color-scheme:dark){body{background:#16181c;color:#ddd}}";

}  // namespace

Json report_json(const KernelReport& report) {
  Json out;
  out["schema"] = "jevons.kernels/1";
  out["host"] = {
      {"processor", report.processor}, {"level", report.level}, {"calibrated", report.calibrated}};
  out["median_absolute_error"] = report.median_absolute_error();
  out["worst_absolute_error"] = report.worst_absolute_error();
  Json rows = Json::array();
  for (const KernelRow& row : report.rows) {
    rows.push_back({{"group", row.group},
                    {"name", row.name},
                    {"flops", row.flops},
                    {"predicted_s", row.predicted_s},
                    {"measured_s", row.measured_s.value},
                    {"spread", row.measured_s.spread},
                    {"repeats", row.measured_s.repeats},
                    {"error", row.error()}});
  }
  out["rows"] = std::move(rows);
  return out;
}

std::string report_html(const KernelReport& report) {
  std::string out =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
      "style-src 'unsafe-inline'\"><title>Kernels on this host</title><style>";
  out += kStyle;
  out += "</style></head><body><h1>Predicted against measured on this host</h1><p>" +
         escaped(report.processor) + ", calibrated " + escaped(report.calibrated) +
         ". Median absolute error " + formatted("%.1f", 100 * report.median_absolute_error()) +
         " %, worst " + formatted("%.1f", 100 * report.worst_absolute_error()) +
         " %.</p>\n<table><tr><th>group</th><th>kernel</th><th>measured &micro;s</th>"
         "<th>spread %</th><th>predicted &micro;s</th><th>error %</th><th>GFLOP/s</th><th></th>"
         "</tr>\n";
  for (const KernelRow& row : report.rows) {
    const double width = std::min(100.0, 200 * std::abs(row.error()));
    out += "<tr><td>" + escaped(row.group) + "</td><td>" + escaped(row.name) + "</td><td>" +
           formatted("%.1f", 1e6 * row.measured_s.value) + "</td><td>" +
           formatted("%.1f", 100 * row.measured_s.spread) + "</td><td>" +
           formatted("%.1f", 1e6 * row.predicted_s) + "</td><td>" +
           formatted("%+.1f", 100 * row.error()) + "</td><td>" + rate(row) +
           "</td><td><span class=\"bar\" style=\"width:" + formatted("%.0f", width) +
           "px\"></span></td></tr>\n";
  }
  return out + "</table></body></html>\n";
}

std::string report_table(const KernelReport& report) {
  std::string out;
  const auto line = [&](const char* group, const char* name, const char* measured,
                        const char* spread, const char* predicted, const char* error,
                        const char* gflops) {
    char text[200];
    std::snprintf(text, sizeof text, "%-13s %-36s %12s %8s %13s %8s %9s\n", group, name, measured,
                  spread, predicted, error, gflops);
    out += text;
  };
  line("group", "kernel", "measured us", "spread %", "predicted us", "error %", "GFLOP/s");
  for (const KernelRow& row : report.rows) {
    line(row.group.c_str(), row.name.c_str(), formatted("%.1f", 1e6 * row.measured_s.value).c_str(),
         formatted("%.1f", 100 * row.measured_s.spread).c_str(),
         formatted("%.1f", 1e6 * row.predicted_s).c_str(),
         formatted("%+.1f", 100 * row.error()).c_str(), rate(row).c_str());
  }
  out += "\nmedian absolute error " + formatted("%.1f", 100 * report.median_absolute_error()) +
         " %, worst " + formatted("%.1f", 100 * report.worst_absolute_error()) + " %\n";
  return out;
}

}  // namespace jevons::host
