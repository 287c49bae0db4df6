// train, serve, roofline: one scenario in, one result out.
#include "condition.hpp"
#include "document.hpp"
#include "output.hpp"
#include "results.hpp"
#include "verbs.hpp"

#include "jevons/core/error.hpp"
#include "jevons/reports/text.hpp"
#include "jevons/reports/trace_writer.hpp"
#include "jevons/sim/run.hpp"
#include "jevons/sim/timeline.hpp"

#include <nlohmann/json.hpp>

namespace jevons::cli {
namespace {

std::string task_of(const Options& options) {
  if (options.verb != "roofline") return options.verb;
  // An operator given by flags or file, or a model's operators in training or serving.
  for (const GivenFlag& given : options.flags) {
    if (given.flag->path.starts_with("op.")) return "op";
  }
  return {};
}

}  // namespace

int run_verb(const Options& options) {
  ResultOutputs outputs(options);
  std::optional<OutputFile> trace;
  if (options.trace) trace.emplace("--trace", *options.trace);
  std::vector<Condition> conditions;
  for (const std::string& text : options.fail_if)
    conditions.push_back(parse_condition(text, false));
  const hwmodels::Catalogue catalogue;
  std::string file;
  const Json document = scenario_document(options, task_of(options), file);
  const sim::Scenario scenario = resolve(document, file, options, catalogue);
  sim::RunOptions how;
  how.resolution = resolution_of(options);
  how.full_cluster = options.full_cluster;
  how.speed_spread = options.chip_spread;
  const std::vector<sim::Result> results{sim::run(scenario, how)};
  if (trace) trace->write(reports::trace_to_json(sim::trace_training(scenario)));
  const bool roofline = options.verb == "roofline";
  outputs.write(
      results,
      {.color = use_color(), .operators = options.all_operators || roofline, .formulas = false});
  const sim::Result& result = results.front();
  if (result.infeasible) return report_infeasible(result);
  int code = 0;
  for (const Condition& condition : conditions) {
    const std::string sentence = failed(condition, result);
    if (sentence.empty()) continue;
    note(sentence + "\n");
    code = 1;
  }
  return code;
}

int explain_verb(const Options& options) {
  const hwmodels::Catalogue catalogue;
  std::string file;
  const Json document = scenario_document(options, {}, file);
  const sim::Scenario scenario = resolve(document, file, options, catalogue);
  const sim::Result result = sim::run(scenario, {.resolution = resolution_of(options)});
  print(reports::result_to_text(
      result, {.color = use_color(), .operators = options.all_operators, .formulas = true}));
  return result.infeasible ? report_infeasible(result) : 0;
}

}  // namespace jevons::cli
