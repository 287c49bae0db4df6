#include "jevons/sim/fit_serving.hpp"

#include "fit_groups.hpp"

#include <algorithm>
#include <cmath>
#include <map>

namespace jevons::sim {
namespace {

constexpr double kRange = 8;  // a constant moves by this factor from its stand-in at most

/// Geometric mean of the other stacks in the rows; zero when none of them has such a cost.
double stand_in(std::span<const FitSample> samples, const hwmodels::Stack& of,
                const std::string& name) {
  std::map<std::string_view, double> others;
  for (const FitSample& sample : samples) {
    const hwmodels::Stack& stack = sample.scenario->stack;
    const std::string& family = serving_family(stack);
    if (family != serving_family(of) && stack.at(name) > 0) others.emplace(family, stack.at(name));
  }
  double sum = 0;
  for (const auto& [id, value] : others) sum += std::log(value);
  return others.empty() ? 0.0 : std::exp(sum / static_cast<double>(others.size()));
}

/// What the rows of the stack's family set: fitted constants of its own, at their stand-ins.
std::vector<FitConstant> candidates(std::span<const FitSample> samples,
                                    const hwmodels::Stack& stack) {
  std::vector<FitConstant> list;
  for (const auto& [name, owner] : stack.given_by) {
    if (owner.front() == '_') continue;  // all stacks share it
    const Sourced* constant = stack.constants.find(name);
    if (constant == nullptr || constant->source.mark != Mark::derived) continue;
    const double start = stand_in(samples, stack, name);
    if (!(constant->value > 0) || !(start > 0)) continue;
    list.push_back(
        {name, kStackScope + serving_family(stack), start, start / kRange,
         name.find("_rate") != std::string::npos ? std::max(1.0, start) : start * kRange});
  }
  return list;
}

/// Those on which a row of the group depends. Its rows did not set the others.
std::vector<FitConstant> that_move(std::span<const FitSample> group,
                                   std::vector<FitConstant> constants) {
  const std::vector<double> before = errors_with(group, {});
  std::erase_if(constants, [&](const FitConstant& c) {
    const double shipped = group.front().scenario->stack.at(c.name);
    const FittedConstant probe{c.name, c.scope, shipped, shipped * 1.01, 0, false};
    return errors_with(group, std::span(&probe, 1)) == before;
  });
  return constants;
}

void predict(std::span<const FitSample> samples, const FitOptions& options, CrossGroup& group) {
  const hwmodels::Stack& stack = samples[group.samples.front()].scenario->stack;
  std::vector<FitSample> rest, out;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (serving_family(samples[i].scenario->stack) != serving_family(stack)) continue;
    const bool left_out = std::binary_search(group.samples.begin(), group.samples.end(), i);
    (left_out ? out : rest).push_back(samples[i]);
  }
  group.rows_left = static_cast<long>(rest.size());
  const std::vector<FitConstant> free = that_move(out, candidates(samples, stack));
  std::vector<FittedConstant> constants;
  if (!rest.empty() && !free.empty()) {
    constants = fit(rest, free, options).constants;
  } else {
    for (const FitConstant& c : free) {
      constants.push_back({c.name, c.scope, c.initial, c.initial, 0, false});
    }
  }
  group.errors = errors_with(out, constants);
}

}  // namespace

std::vector<CrossGroup> cross_validate_serving(std::span<const FitSample> samples,
                                               const CrossOptions& options) {
  std::vector<CrossGroup> groups = groups_by_stack(samples);
  predict_each(groups, options.threads,
               [&](CrossGroup& group) { predict(samples, options.fit, group); });
  return groups;
}

}  // namespace jevons::sim
