#include "results.hpp"

#include "jevons/core/error.hpp"
#include "jevons/reports/html.hpp"
#include "jevons/reports/result_json.hpp"

#include <nlohmann/json.hpp>

namespace jevons::cli {
namespace {

std::unique_ptr<OutputFile> claim(std::string_view flag, const std::optional<std::string>& path) {
  return path ? std::make_unique<OutputFile>(flag, *path) : nullptr;
}

}  // namespace

ResultOutputs::ResultOutputs(const Options& options) : options_(options) {
  int on_stdout = 0;
  for (const auto* path : {&options.json, &options.html, &options.csv, &options.trace}) {
    if (*path && **path == "-") ++on_stdout;
  }
  if (on_stdout > 1) {
    throw Error(ErrorKind::usage, "",
                "only one of --json, --html, --csv and --trace can be - (standard output)");
  }
  json_ = claim("--json", options.json);
  html_ = claim("--html", options.html);
  csv_ = claim("--csv", options.csv);
  table_ = on_stdout == 0 && !options.quiet;
}

void ResultOutputs::write_json(const Json& document) {
  if (json_) json_->write(dump(document));
}
void ResultOutputs::write_csv(const std::string& text) {
  if (csv_) csv_->write(text);
}
void ResultOutputs::write_html(const std::string& text) {
  if (html_) html_->write(text);
}

void ResultOutputs::write(std::span<const sim::Result> results, const reports::TextOptions& text) {
  if (json_) write_json(results_json(results));
  if (csv_) write_csv(reports::results_to_csv(results));
  if (html_) {
    const std::string title = results.size() == 1 ? results.front().scenario.name
                                                  : std::to_string(results.size()) + " scenarios";
    write_html(reports::results_to_html(
        results, {.title = title, .command = options_.command, .version = JEVONS_VERSION}));
  }
  if (!table_) return;
  std::string out;
  for (const sim::Result& result : results) {
    if (!out.empty()) out += "\n";
    out += reports::result_to_text(result, text);
  }
  print(out);
}

Json results_json(std::span<const sim::Result> results) {
  if (results.size() == 1) return reports::result_to_json(results.front(), JEVONS_VERSION);
  Json out = Json::object();
  out["schema"] = "jevons.results/1";
  out["results"] = Json::array();
  for (const sim::Result& result : results) {
    out["results"].push_back(reports::result_to_json(result, JEVONS_VERSION));
  }
  return out;
}

int report_infeasible(const sim::Result& result) {
  std::string text = "infeasible: " + reports::printable(result.infeasible->reason);
  if (!result.infeasible->smallest_change.empty()) {
    text += "\n  smallest change that would fit: " +
            reports::printable(result.infeasible->smallest_change);
  }
  note(text + "\n");
  return 4;
}

std::string dump(const Json& document) {
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace jevons::cli
