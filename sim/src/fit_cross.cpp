// Leave one (operator kind, accelerator) group out, fit again, predict it.
#include "fit_bench.hpp"

#include "jevons/sim/fit.hpp"

#include <algorithm>
#include <map>

namespace jevons::sim {
namespace {

/// Where a generation's constants come from when its own rows are left out: the measured generation
/// with the nearest kernels. Assumed: neighbours in time of one vendor share a library.
const std::map<std::string, std::string, std::less<>>& donors() {
  static const std::map<std::string, std::string, std::less<>> table{
      {"hopper", "blackwell"},  {"blackwell", "hopper"}, {"blackwell-ultra", "hopper"},
      {"blackwell-rtx", "ada"}, {"ampere", "hopper"},    {"ada", "ampere"}};
  return table;
}

bool of_family(const std::string& name, const std::string& family) {
  const auto starts = [&](std::string_view prefix) { return name.starts_with(prefix); };
  if (family == "attention") {
    return starts("decode.") || starts("prefill.") || starts("mla_prefill.") ||
           starts("train_attention.");
  }
  if (family == "collective") {
    return starts("collective.") || starts("all_to_all.") || starts("p2p.") || starts("network.");
  }
  if (family == "exchange") return starts("exchange.") || starts("one_sided.");
  return starts(family + ".");
}

bool is_switch(const std::string& name) {
  return name.find(".menu.") != std::string::npos || name.find(".split_k.") != std::string::npos;
}

}  // namespace

CrossResult cross_validate(std::span<const FitSample> samples,
                           const ClassConstants& class_constants, const FitOptions& options) {
  CrossResult result;
  std::map<std::pair<std::string, std::string>, std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const Scenario& s = *samples[i].scenario;
    groups[{kernel_family(s.op.op.shape), s.cluster.accelerator.id}].push_back(i);
  }
  for (const auto& [key, members] : groups) {
    const auto& [family, accelerator] = key;
    const std::string& generation = samples[members[0]].scenario->cluster.accelerator.generation;
    CrossGroup group{family, accelerator, "", members, {}, 0};

    std::vector<FitSample> left_out;
    for (const std::size_t i : members) left_out.push_back(samples[i]);
    std::vector<FitSample> rest;
    for (const FitSample& sample : samples) {
      const hwmodels::Accelerator& chip = sample.scenario->cluster.accelerator;
      if (chip.generation == generation && chip.id != accelerator &&
          kernel_family(sample.scenario->op.op.shape) == family) {
        rest.push_back(sample);
      }
    }
    const auto donor = donors().find(generation);
    if (donor != donors().end()) group.donor = donor->second;
    const hwmodels::Constants stand_in =
        class_constants(group.donor.empty() ? "generic" : group.donor);
    std::vector<FittedConstant> constants;
    std::vector<FitConstant> free;
    for (const auto& [name, constant] : stand_in.all()) {
      if (!of_family(name, family)) continue;
      constants.push_back({name, generation, constant.value, constant.value, 0, false});
      if (constant.value > 0 && !is_switch(name)) {
        free.push_back({name, generation, constant.value, constant.value / 4, constant.value * 4});
      }
    }
    if (!rest.empty() && !free.empty()) {
      group.rows_left = static_cast<long>(rest.size());
      // The stand-ins that are not free (zeros, menus) must be in force while fitting: the samples
      // get scenarios of their own.
      std::vector<Scenario> scenarios;
      scenarios.reserve(rest.size());
      for (FitSample& sample : rest) {
        scenarios.push_back(*sample.scenario);
        for (const FittedConstant& c : constants) {
          scenarios.back().cluster.accelerator.constants.set(
              c.name, {c.after, {"stand-in", Mark::assumed}, ""});
        }
        sample.scenario = &scenarios.back();
      }
      for (const FittedConstant& fitted : fit(rest, free, options).constants) {
        for (FittedConstant& c : constants) {
          if (c.name == fitted.name) c.after = fitted.after;
        }
      }
    }
    group.errors = errors_with(left_out, constants);
    result.groups.push_back(std::move(group));
  }
  return result;
}

}  // namespace jevons::sim
