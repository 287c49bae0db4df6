// fit: kernel constants of one SKU from measured operators, written as a SKU file.
#include "output.hpp"
#include "results.hpp"
#include "verbs.hpp"

#include "jevons/core/error.hpp"
#include "jevons/hwmodels/catalogue.hpp"
#include "jevons/reports/fit_report.hpp"
#include "jevons/reports/serving_fit.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <span>

namespace jevons::cli {
namespace {

/// The SKU's own document: a file, or the one that ships.
Json sku_document(const std::string& accelerator, const hwmodels::Catalogue& catalogue) {
  if (accelerator == reports::kAll) {
    const std::string shared = "classes/generic.json";
    return parse_json(hwmodels::data_file(shared), shared);
  }
  const bool is_file = accelerator.find('/') != std::string::npos || accelerator.ends_with(".json");
  if (is_file) return parse_json(read_text_file(accelerator), accelerator);
  (void)catalogue.accelerator(accelerator, "--hw");  // names the nearest when there is none
  const std::string path = "accelerators/" + accelerator + ".json";
  return parse_json(hwmodels::data_file(path), path);
}

bool fits_power(const Options& options) {
  return std::find(options.metrics.begin(), options.metrics.end(), "power_w_per_accelerator") !=
         options.metrics.end();
}

/// A stack, or the power of a chip.
sim::FitResult fit_serving(const Options& options, const reports::FitInput& input) {
  return options.stack.empty()
             ? reports::fit_power(options.hardware.front(), options.constants, input)
             : reports::fit_stack(options.stack, options.constants, input);
}

int serving_verb(const Options& options, std::span<const reports::TruthCase> cases,
                 const std::string& from) {
  const ResultOutputs claims(options);
  std::optional<OutputFile> file;
  if (options.out) file.emplace("--out", *options.out);
  const hwmodels::Catalogue catalogue;
  const reports::FitInput input = reports::serving_fit_input(cases, catalogue, options.metrics);
  const sim::FitResult result = fit_serving(options, input);
  if (file) {
    const std::string shared = options.stack == reports::kAll ? "_serve" : options.stack;
    const std::string path = "stacks/" + shared + ".json";
    const Json document = options.stack.empty() ? sku_document(options.hardware.front(), catalogue)
                                                : parse_json(hwmodels::data_file(path), path);
    file->write(dump(reports::fitted_document(document, result, from)));
  }
  if (claims.wants_table() && (!options.out || *options.out != "-"))
    print(reports::fit_to_text(result));
  for (const std::string& refused : input.refused) note("left out: " + refused + "\n");
  return 0;
}

}  // namespace

int fit_verb(const Options& options) {
  if (options.stack.empty() && options.hardware.size() != 1) {
    throw Error(ErrorKind::usage, "fit", "--hw names the one accelerator to fit",
                "or --stack the serving stack");
  }
  if (!options.stack.empty() || fits_power(options)) {
    std::vector<reports::TruthCase> cases;
    std::string from;
    for (const std::string& input : options.inputs) {
      const std::vector<reports::TruthCase> more = reports::read_truth(input);
      cases.insert(cases.end(), more.begin(), more.end());
      from += (from.empty() ? "" : ", ") + input;
    }
    return serving_verb(options, cases, from);
  }
  const ResultOutputs claims(options);
  std::optional<OutputFile> sku_file;
  if (options.out) sku_file.emplace("--out", *options.out);
  const hwmodels::Catalogue catalogue;
  const Json sku = sku_document(options.hardware.front(), catalogue);
  std::vector<reports::TruthCase> cases;
  std::string from;
  for (const std::string& input : options.inputs) {
    const std::vector<reports::TruthCase> more = reports::read_truth(input);
    cases.insert(cases.end(), more.begin(), more.end());
    from += (from.empty() ? "" : ", ") + input;
  }
  const reports::FitInput input = reports::fit_input(cases, catalogue);
  reports::FitRequest request;
  request.accelerator = options.hardware.front();
  request.constants = options.constants;
  const sim::FitResult result = reports::fit_accelerator(request, input, catalogue);
  if (sku_file) sku_file->write(dump(reports::fitted_sku(sku, result, input, from)));
  if (claims.wants_table() && (!options.out || *options.out != "-"))
    print(reports::fit_to_text(result));
  for (const std::string& refused : input.refused) note("left out: " + refused + "\n");
  return 0;
}

}  // namespace jevons::cli
