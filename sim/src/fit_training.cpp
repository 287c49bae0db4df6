#include "jevons/sim/fit_training.hpp"

#include "fit_groups.hpp"

#include <algorithm>
#include <cmath>
#include <map>

namespace jevons::sim {
namespace {

constexpr std::string_view kPrefix = "training.";  // constants of a chip's class that steps set
constexpr double kRange = 4;                       // a constant moves by this factor at most

/// Generations whose parts share training kernels.
std::string_view family(const Scenario& s) {
  const std::string& generation = s.cluster.accelerator.generation;
  return generation == "blackwell-ultra" ? std::string_view("blackwell") : generation;
}

struct Bench {
  std::span<const FitSample> samples;
  const ClassConstants& class_constants;
  const StackConstants& stack_constants;
  FitOptions fit;
};

/// A constant of the group, with what it falls back to and where its fit starts.
struct Candidate {
  FitConstant constant;
  double stand_in = 0;
};

/// Geometric mean over the other generations of the vendor that the rows hold; classes that give
/// nothing of their own do not count.
double vendor_mean(const Bench& bench, const Scenario& of, const std::string& name,
                   double generic) {
  std::map<std::string_view, double> others;
  for (const FitSample& sample : bench.samples) {
    const Scenario& s = *sample.scenario;
    if (s.cluster.accelerator.vendor != of.cluster.accelerator.vendor || family(s) == family(of)) {
      continue;
    }
    const double value = s.cluster.accelerator.constants.at(name);
    if (value != generic) others.emplace(family(s), value);
  }
  double sum = 0;
  for (const auto& [generation, value] : others) sum += std::log(value);
  return others.empty() ? generic : std::exp(sum / static_cast<double>(others.size()));
}

std::vector<Candidate> candidates(const Bench& bench, const Scenario& s) {
  std::vector<Candidate> list;
  for (const FitConstant& c : bench.stack_constants(s.stack)) {
    const double shipped = s.stack.at(c.name);
    const double start = c.initial > 0 ? c.initial : shipped;
    list.push_back({{c.name, c.scope, start, c.low, c.high}, c.initial});
  }
  const hwmodels::Constants generic = bench.class_constants("generic");
  const hwmodels::Accelerator& chip = s.cluster.accelerator;
  for (const auto& [name, constant] : chip.constants.all()) {
    if (!name.starts_with(kPrefix) || !(constant.value > 0)) continue;
    const Sourced* base = generic.find(name);
    const double stand_in =
        vendor_mean(bench, s, name, base != nullptr ? base->value : constant.value);
    list.push_back(
        {{name, chip.generation, stand_in, stand_in / kRange, stand_in * kRange}, stand_in});
  }
  return list;
}

/// Rows that may set the group's constants: of its generation or with its stack's, not its own.
std::vector<FitSample> rows_left(const Bench& bench, const CrossGroup& group,
                                 const std::vector<Candidate>& constants) {
  const Scenario& first = *bench.samples[group.samples.front()].scenario;
  std::vector<FitSample> rest;
  for (std::size_t i = 0; i < bench.samples.size(); ++i) {
    if (std::binary_search(group.samples.begin(), group.samples.end(), i)) continue;
    const Scenario& s = *bench.samples[i].scenario;
    const bool shares = std::any_of(constants.begin(), constants.end(), [&](const Candidate& c) {
      return stack_gives(s.stack, c.constant.name, c.constant.scope);
    });
    if (shares || family(s) == family(first)) rest.push_back(bench.samples[i]);
  }
  return rest;
}

void predict(const Bench& bench, CrossGroup& group) {
  const Scenario& first = *bench.samples[group.samples.front()].scenario;
  std::vector<FittedConstant> constants;
  std::vector<FitConstant> free;
  const std::vector<Candidate> list = candidates(bench, first);
  for (const Candidate& c : list) {
    constants.push_back({c.constant.name, c.constant.scope, c.stand_in, c.stand_in, 0, false});
    if (c.constant.initial > 0) free.push_back(c.constant);
  }
  const std::vector<FitSample> rest = rows_left(bench, group, list);
  group.rows_left = static_cast<long>(rest.size());
  if (!rest.empty() && !free.empty()) {
    for (const FittedConstant& fitted : fit(rest, free, bench.fit).constants) {
      if (fitted.rows == 0) continue;
      for (FittedConstant& c : constants) {
        if (c.name == fitted.name && c.scope == fitted.scope) c = fitted;
      }
    }
  }
  std::vector<FitSample> out;
  for (const std::size_t i : group.samples) out.push_back(bench.samples[i]);
  group.errors = errors_with(out, constants);
}

}  // namespace

std::vector<CrossGroup> cross_validate_training(std::span<const FitSample> samples,
                                                const ClassConstants& class_constants,
                                                const StackConstants& stack_constants,
                                                const CrossOptions& options) {
  const Bench bench{samples, class_constants, stack_constants, options.fit};
  std::vector<CrossGroup> groups = groups_by_stack(samples);
  predict_each(groups, options.threads, [&](CrossGroup& group) { predict(bench, group); });
  return groups;
}

}  // namespace jevons::sim
