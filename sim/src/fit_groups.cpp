#include "fit_groups.hpp"

#include "parallel.hpp"

#include <map>
#include <utility>

namespace jevons::sim {

std::vector<CrossGroup> groups_by(std::span<const FitSample> samples,
                                  const std::function<GroupName(const FitSample&)>& name_of) {
  std::map<std::string, CrossGroup> groups;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const GroupName name = name_of(samples[i]);
    CrossGroup& group = groups[name.key];
    group.name = name.name;
    group.accelerator = samples[i].scenario->cluster.accelerator.id;
    group.samples.push_back(i);
  }
  std::vector<CrossGroup> list;
  for (auto& [key, group] : groups) list.push_back(std::move(group));
  return list;
}

std::vector<CrossGroup> groups_by_stack(std::span<const FitSample> samples) {
  return groups_by(samples, [](const FitSample& sample) -> GroupName {
    const Scenario& s = *sample.scenario;
    const std::string& stack = s.task == Task::serve ? serving_family(s.stack) : s.stack.id;
    return {sample.group + "|" + stack + "|" + s.cluster.accelerator.id,
            sample.group + ", " + stack};
  });
}

void predict_each(std::span<CrossGroup> groups, unsigned threads,
                  const std::function<void(CrossGroup&)>& predict) {
  parallel_for(groups.size(), threads, [&](std::size_t i) { predict(groups[i]); });
}

}  // namespace jevons::sim
