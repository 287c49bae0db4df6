#include "jevons/reports/serving_fit.hpp"

#include "jevons/core/error.hpp"
#include "jevons/reports/scenario_json.hpp"
#include "jevons/sim/fit_serving.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>

namespace jevons::reports {
namespace {

/// A constant at zero has no logarithm: it starts from three microseconds.
constexpr double kLeastSeconds = 3e-6;

bool wanted(const std::string& metric, const std::vector<std::string>& prefixes) {
  if (!sim::fittable_metric(sim::Task::serve, metric)) return false;
  if (prefixes.empty()) return metric != "power_w_per_accelerator";
  return std::any_of(prefixes.begin(), prefixes.end(),
                     [&](const std::string& prefix) { return metric.starts_with(prefix); });
}

double measured_rate(const TruthCase& truth) {
  for (const TruthCase::Fact& fact : truth.measured) {
    if (fact.metric == "output_tokens_per_s") return fact.value;
  }
  return 0;
}

sim::FitConstant constant_of(const std::string& name, const std::string& scope,
                             const hwmodels::Constants& constants) {
  const Sourced* found = constants.find(name);
  if (found == nullptr) {
    std::vector<std::string> names;
    for (const auto& [known, value] : constants.all()) names.push_back(known);
    throw bad_input("fit", "there is no constant '" + name + "'", did_you_mean(name, names));
  }
  if (name.ends_with("_s")) {
    return {name, scope, found->value > 0 ? found->value : kLeastSeconds, kLeastSeconds / 1000,
            1.0};
  }
  // A share of a peak is no more than all of it.
  const double most =
      name.find("_rate") != std::string::npos ? std::max(1.0, found->value) : found->value * 4;
  return {name, scope, found->value, found->value / 4, std::min(most, found->value * 4)};
}

}  // namespace

FitInput serving_fit_input(std::span<const TruthCase> cases, const hwmodels::Catalogue& catalogue,
                           const std::vector<std::string>& metrics) {
  FitInput input;
  for (const TruthCase& truth : cases) {
    const std::string name = truth.file + " (" + truth.id + ")";
    const Json json = parse_json(truth.scenario, name);
    if (json.value("task", "") != "serve") continue;
    try {
      auto scenario = std::make_unique<sim::Scenario>(read_scenario(json, name, catalogue));
      const sim::Result once = sim::run(*scenario);
      if (once.infeasible) throw bad_input(truth.id, once.infeasible->reason);
      for (const TruthCase::Fact& fact : truth.measured) {
        if (!wanted(fact.metric, metrics)) continue;
        sim::FitSample sample{truth.id, scenario.get(), fact.metric, fact.value, truth.group};
        if (fact.metric == "power_w_per_accelerator") sample.output_rate = measured_rate(truth);
        input.samples.push_back(std::move(sample));
      }
      input.scenarios.push_back(std::move(scenario));
    } catch (const Error& error) {
      input.refused.push_back(truth.id + ": " + error.what());
    }
  }
  if (input.samples.empty()) {
    throw bad_input("fit", "the truth files hold no serving row with such a metric");
  }
  return input;
}

sim::FitResult fit_stack(const std::string& stack, const std::vector<std::string>& constants,
                         const FitInput& input, const sim::FitOptions& options) {
  std::vector<sim::FitSample> rows;
  for (const sim::FitSample& sample : input.samples) {
    if (stack == kAll || sim::serving_family(sample.scenario->stack) == stack)
      rows.push_back(sample);
  }
  if (rows.empty()) throw bad_input("fit", "no serving row ran under '" + stack + "'");
  std::vector<std::string> names = constants;
  if (names.empty()) {
    names = {"serve_host_per_step_s", "serve_per_layer_s", "serve_per_sequence_s"};
  }
  std::vector<sim::FitConstant> list;
  for (const std::string& name : names) {
    list.push_back(
        constant_of(name, sim::kStackScope + stack, rows.front().scenario->stack.constants));
  }
  return sim::fit(rows, list, options);
}

sim::FitResult fit_power(const std::string& accelerator, const std::vector<std::string>& constants,
                         const FitInput& input, const sim::FitOptions& options) {
  std::vector<sim::FitSample> rows;
  const bool all = accelerator == kAll;
  for (const sim::FitSample& sample : input.samples) {
    if (all || sample.scenario->cluster.accelerator.id == accelerator) rows.push_back(sample);
  }
  if (rows.empty()) throw bad_input("fit", "no serving row ran on '" + accelerator + "'");
  std::vector<std::string> names = constants;
  if (names.empty()) {
    names = {"power.p0_fraction_of_tdp", "power.j_per_byte", "power.j_per_flop.bf16",
             "power.j_per_flop.fp8", "power.j_per_tile_byte"};
  }
  std::vector<sim::FitConstant> list;
  for (const std::string& name : names) {
    list.push_back(constant_of(name, all ? "" : accelerator,
                               rows.front().scenario->cluster.accelerator.constants));
  }
  return sim::fit(rows, list, options);
}

Validation serving_cross_validation(const FitInput& input, const sim::CrossOptions& options) {
  return scoreboard_of(sim::cross_validate_serving(input.samples, options), input);
}

Json fitted_document(const Json& document, const sim::FitResult& result,
                     const std::string& rows_from) {
  Json copy = document;
  if (!copy.contains("constants")) copy["constants"] = Json::object();
  for (const sim::FittedConstant& c : result.constants) {
    Json entry = Json::object();
    entry["value"] = std::stod(fmt::format("{:.4g}", c.after));
    entry["source"] =
        fmt::format("jevons fit on {} rows of {}: median error {:.1f} % to {:.1f} %", c.rows,
                    rows_from, 100 * result.median_before, 100 * result.median_after);
    entry["mark"] = "derived";
    copy["constants"][c.name] = entry;
  }
  return copy;
}

}  // namespace jevons::reports
