// Leave one group out, fit again, predict it.
#include "fit_bench.hpp"
#include "fit_groups.hpp"

#include "jevons/sim/fit.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace jevons::sim {
namespace {

/// Generations with kernel tables of their own.
constexpr std::array<std::string_view, 4> kMeasured{"ampere", "ada", "hopper", "blackwell"};

/// The measured generation whose kernels a generation inherits.
std::string_view measured_as(std::string_view generation) {
  return generation == "blackwell-ultra" ? "blackwell" : generation;
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

/// Tile menus and the like: known of a library, not fitted.
bool is_switch(const std::string& name) {
  return name.find(".menu.") != std::string::npos || name.find(".split_k.") != std::string::npos ||
         name.find(".tile_") != std::string::npos;
}

/// Constants of a generation as if it had never been measured.
class StandIns {
 public:
  explicit StandIns(const ClassConstants& class_constants) : generic_(class_constants("generic")) {
    for (const std::string_view name : kMeasured) {
      classes_.emplace_back(name, class_constants(std::string(name)));
    }
  }

  [[nodiscard]] double value(const std::string& name, std::string_view generation) const {
    const Sourced* base = generic_.find(name);
    double sum = 0;
    int count = 0;
    for (const auto& [donor, constants] : classes_) {
      const Sourced* own = constants.find(name);
      // A class that gives nothing of its own hands the generic entry through.
      const bool measured =
          own != nullptr && (base == nullptr || own->source.text != base->source.text);
      if (donor == measured_as(generation) || !measured || !(own->value > 0)) continue;
      sum += std::log(own->value);
      ++count;
    }
    if (count > 0) return std::exp(sum / count);
    return base != nullptr ? base->value : 0.0;
  }

 private:
  hwmodels::Constants generic_;
  std::vector<std::pair<std::string, hwmodels::Constants>> classes_;
};

/// The samples left for the new fit, with scenarios that carry the stand-ins.
struct Left {
  std::vector<Scenario> scenarios;
  std::vector<FitSample> samples;
};

Left left_of(std::span<const FitSample> samples, const CrossGroup& group,
             const std::vector<FittedConstant>& stand_ins) {
  const Scenario& first = *samples[group.samples.front()].scenario;
  const std::string family = kernel_family(first.op.op.shape);
  Left left;
  std::vector<std::size_t> rest;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const Scenario& s = *samples[i].scenario;
    const bool same = measured_as(s.cluster.accelerator.generation) ==
                          measured_as(first.cluster.accelerator.generation) &&
                      kernel_family(s.op.op.shape) == family;
    const bool out = std::binary_search(group.samples.begin(), group.samples.end(), i);
    if (same && !out) rest.push_back(i);
  }
  left.scenarios.reserve(rest.size());
  for (const std::size_t i : rest) {
    left.scenarios.push_back(*samples[i].scenario);
    for (const FittedConstant& c : stand_ins) {
      left.scenarios.back().cluster.accelerator.constants.set(
          c.name, {c.after, {"stand-in", Mark::assumed}, ""});
    }
    left.samples.push_back(samples[i]);
    left.samples.back().scenario = &left.scenarios.back();
  }
  return left;
}

void predict(std::span<const FitSample> samples, const StandIns& stand_ins,
             const FitOptions& options, CrossGroup& group) {
  const Scenario& first = *samples[group.samples.front()].scenario;
  const std::string& generation = first.cluster.accelerator.generation;
  const std::string family = kernel_family(first.op.op.shape);
  std::vector<FittedConstant> constants;
  std::vector<FitConstant> free;
  for (const auto& [name, constant] : first.cluster.accelerator.constants.all()) {
    if (!of_family(name, family) || is_switch(name)) continue;
    const double value = stand_ins.value(name, generation);
    // No scope: the rows left and the rows left out are all of this generation.
    constants.push_back({name, "", value, value, 0, false});
    if (value > 0) free.push_back({name, "", value, value / 4, value * 4});
  }
  const Left left = left_of(samples, group, constants);
  group.rows_left = static_cast<long>(left.samples.size());
  if (!left.samples.empty() && !free.empty()) {
    for (const FittedConstant& fitted : fit(left.samples, free, options).constants) {
      for (FittedConstant& c : constants) {
        if (c.name == fitted.name) c.after = fitted.after;
      }
    }
  }
  std::vector<FitSample> out;
  for (const std::size_t i : group.samples) out.push_back(samples[i]);
  group.errors = errors_with(out, constants);
}

std::vector<CrossGroup> groups_of(std::span<const FitSample> samples, CrossUnit unit) {
  return groups_by(samples, [unit](const FitSample& sample) -> GroupName {
    const std::string& chip = sample.scenario->cluster.accelerator.id;
    const std::string family = kernel_family(sample.scenario->op.op.shape);
    const std::string name = unit == CrossUnit::truth_group ? sample.group : family + "/" + chip;
    // A group of the file may mix kinds or chips: each is left out on its own.
    return {name + "|" + family + "|" + chip, name};
  });
}

}  // namespace

std::vector<CrossGroup> cross_validate(std::span<const FitSample> samples,
                                       const ClassConstants& class_constants,
                                       const CrossOptions& options) {
  const StandIns stand_ins(class_constants);
  std::vector<CrossGroup> groups = groups_of(samples, options.unit);
  predict_each(groups, options.threads,
               [&](CrossGroup& group) { predict(samples, stand_ins, options.fit, group); });
  return groups;
}

}  // namespace jevons::sim
