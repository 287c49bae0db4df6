#include "jevons/reports/fit_report.hpp"

#include "jevons/core/error.hpp"
#include "jevons/reports/scenario_json.hpp"
#include "jevons/sim/fit_training.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <map>

namespace jevons::reports {
namespace {

std::vector<sim::FitSample> rows_of(const FitInput& input, const std::string& accelerator) {
  std::vector<sim::FitSample> rows;
  for (const sim::FitSample& sample : input.samples) {
    if (sample.scenario->cluster.accelerator.id == accelerator) rows.push_back(sample);
  }
  return rows;
}

/// The constants that change most in a fit of all of them, weighted by how many rows they move.
std::vector<sim::FitConstant> most_useful(std::span<const sim::FitSample> rows,
                                          std::vector<sim::FitConstant> all,
                                          const sim::FitOptions& options) {
  if (all.size() <= kMostOwnConstants) return all;
  const sim::FitResult trial = sim::fit(rows, all, options);
  std::vector<std::pair<double, std::size_t>> use;
  for (std::size_t i = 0; i < trial.constants.size(); ++i) {
    const sim::FittedConstant& c = trial.constants[i];
    use.emplace_back(-std::abs(std::log(c.after / c.before)) * static_cast<double>(c.rows), i);
  }
  std::sort(use.begin(), use.end());
  std::vector<sim::FitConstant> kept;
  for (std::size_t i = 0; i < kMostOwnConstants; ++i) kept.push_back(all[use[i].second]);
  return kept;
}

FitInput rows_of_task(std::span<const TruthCase> cases, const hwmodels::Catalogue& catalogue,
                      sim::Task task, std::string_view task_name) {
  FitInput input;
  for (const TruthCase& truth : cases) {
    const std::string name = truth.file + " (" + truth.id + ")";
    const Json json = parse_json(truth.scenario, name);
    if (json.value("task", "") != task_name) continue;
    try {
      auto scenario = std::make_unique<sim::Scenario>(read_scenario(json, name, catalogue));
      for (const TruthCase::Fact& fact : truth.measured) {
        if (sim::fittable_metric(task, fact.metric)) {
          input.samples.push_back({truth.id, scenario.get(), fact.metric, fact.value, truth.group});
        }
      }
      input.scenarios.push_back(std::move(scenario));
    } catch (const Error& error) {
      input.refused.push_back(truth.id + ": " + error.what());
    }
  }
  return input;
}

/// Fitted constants of a stack and of the stacks it is based on, without what all stacks share.
std::vector<sim::FitConstant> fitted_constants(const hwmodels::Catalogue& catalogue,
                                               const hwmodels::Stack& stack) {
  constexpr double kRange = 4;
  std::string base = stack.based_on;
  while (!base.empty() && base.front() != '_') base = catalogue.stack(base, "based_on").based_on;
  // Under them all the kernel constants that a stack may replace.
  hwmodels::Constants stand_ins = catalogue.class_constants("generic");
  stand_ins.overlay(catalogue.shared_stack_constants(base));
  std::vector<sim::FitConstant> list;
  for (const auto& [name, owner] : stack.given_by) {
    if (owner.front() == '_') continue;  // all stacks share it
    const Sourced* constant = stack.constants.find(name);
    const Sourced* stand_in = stand_ins.find(name);
    if (constant->source.mark != Mark::derived || stand_in == nullptr) continue;
    if (name.starts_with("memory_") || name.starts_with("allocator_") || !(constant->value > 0)) {
      continue;
    }
    const bool share = name.ends_with("_overlap");
    const double middle = stand_in->value > 0 ? stand_in->value : constant->value;
    list.push_back({name, sim::kStackScope + owner, stand_in->value, middle / kRange,
                    share ? 1.0 : std::max(middle * kRange, constant->value)});
  }
  return list;
}

}  // namespace

Validation scoreboard_of(const std::vector<sim::CrossGroup>& groups, const FitInput& input) {
  Validation validation;
  std::map<std::string, std::vector<ValidationRow>> by_metric, by_group;
  for (const sim::CrossGroup& group : groups) {
    for (std::size_t k = 0; k < group.samples.size(); ++k) {
      const sim::FitSample& sample = input.samples[group.samples[k]];
      ValidationRow row;
      row.id = sample.id;
      row.group = group.name;
      row.metric = sample.metric;
      row.measured = sample.measured;
      row.error = group.errors[k];
      row.predicted = sample.measured * (1 + group.errors[k]);
      row.dominated = fmt::format("constants refitted on {} other rows", group.rows_left);
      by_metric[row.metric].push_back(row);
      by_group[row.group].push_back(row);
      validation.rows.push_back(std::move(row));
    }
  }
  for (const auto& [name, rows] : by_group) validation.by_group[name] = statistics(rows);
  for (const auto& [name, rows] : by_metric) validation.by_metric[name] = statistics(rows);
  validation.overall = statistics(validation.rows);
  return validation;
}

FitInput fit_input(std::span<const TruthCase> cases, const hwmodels::Catalogue& catalogue) {
  FitInput input = rows_of_task(cases, catalogue, sim::Task::op, "op");
  if (input.samples.empty()) {
    throw bad_input("fit", "the truth files hold no measured operator",
                    "rows of task 'op' with time_s, achieved_flops_per_s or achieved_bytes_per_s");
  }
  return input;
}

FitInput training_input(std::span<const TruthCase> cases, const hwmodels::Catalogue& catalogue) {
  return rows_of_task(cases, catalogue, sim::Task::train, "train");
}

sim::FitResult fit_accelerator(const FitRequest& request, const FitInput& input,
                               const hwmodels::Catalogue& catalogue) {
  const hwmodels::Accelerator chip = catalogue.accelerator(request.accelerator, "--hw");
  const std::vector<sim::FitSample> rows = rows_of(input, chip.id);
  if (rows.empty()) {
    throw bad_input("fit", "no measured operator ran on '" + chip.id + "'");
  }
  if (request.constants.size() > kMostOwnConstants) {
    throw bad_input("fit", std::to_string(request.constants.size()) + " constants asked for",
                    "a SKU file gives at most eight of its own");
  }
  const std::vector<sim::FitConstant> all = sim::fittable_constants(rows, chip.id, "");
  if (request.constants.empty()) {
    return sim::fit(rows, most_useful(rows, all, request.options), request.options);
  }
  std::vector<std::string> names;
  for (const sim::FitConstant& c : all) names.push_back(c.name);
  std::vector<sim::FitConstant> chosen;
  for (const std::string& name : request.constants) {
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const sim::FitConstant& c) { return c.name == name; });
    if (found == all.end()) {
      throw bad_input("fit", "no row depends on a constant '" + name + "'",
                      did_you_mean(name, names));
    }
    chosen.push_back(*found);
  }
  return sim::fit(rows, chosen, request.options);
}

Json fitted_sku(const Json& sku, const sim::FitResult& result, const FitInput& input,
                const std::string& rows_from) {
  Json copy = sku;
  if (!copy.contains("constants")) copy["constants"] = Json::object();
  for (const sim::FittedConstant& c : result.constants) {
    const std::vector<sim::FitSample> rows = rows_of(input, c.scope);
    Json entry = Json::object();
    entry["value"] = std::stod(fmt::format("{:.4g}", c.after));
    entry["source"] = fmt::format(
        "jevons fit: {} of {} rows of {} ({} to {}), from {:.4g}; median error {:.1f} % to {:.1f} "
        "%",
        c.rows, rows.size(), rows_from, rows.front().id, rows.back().id, c.before,
        100 * result.median_before, 100 * result.median_after);
    entry["mark"] = "derived";
    copy["constants"][c.name] = entry;
  }
  if (copy["constants"].size() > kMostOwnConstants) {
    throw bad_input("fit", "the SKU file would give more than eight constants of its own",
                    "name the constants to fit, or take others out of the file");
  }
  return copy;
}

std::string fit_to_text(const sim::FitResult& result) {
  std::string text =
      fmt::format("{:<36}{:>12}{:>12}{:>8}\n", "constant", "before", "after", "rows");
  for (const sim::FittedConstant& c : result.constants) {
    text += fmt::format("{:<36}{:>12.4g}{:>12.4g}{:>8}{}\n", c.name, c.before, c.after, c.rows,
                        c.at_bound ? "  at its bound" : "");
  }
  text += fmt::format("median error {:.2f} % before, {:.2f} % after, {} iterations\n",
                      100 * result.median_before, 100 * result.median_after, result.iterations);
  return text;
}

Validation cross_validation(const FitInput& input, const hwmodels::Catalogue& catalogue,
                            const sim::CrossOptions& options) {
  const auto classes = [&](const std::string& generation) {
    return catalogue.class_constants(generation);
  };
  return scoreboard_of(sim::cross_validate(input.samples, classes, options), input);
}

Validation training_cross_validation(const FitInput& input, const hwmodels::Catalogue& catalogue,
                                     const sim::CrossOptions& options) {
  const auto classes = [&](const std::string& generation) {
    return catalogue.class_constants(generation);
  };
  const auto stacks = [&](const hwmodels::Stack& stack) {
    return fitted_constants(catalogue, stack);
  };
  return scoreboard_of(sim::cross_validate_training(input.samples, classes, stacks, options),
                       input);
}

}  // namespace jevons::reports
