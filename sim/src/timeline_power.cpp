#include "jevons/sim/power.hpp"
#include "jevons/sim/timeline.hpp"

namespace jevons::sim {
namespace {

constexpr std::size_t kSamples = 400;

}  // namespace

std::vector<std::vector<Sample>> chip_power_over_time(const Scenario& scenario,
                                                      const TrainingTimeline& played) {
  std::vector<std::vector<Sample>> out;
  if (!power_known(scenario.cluster)) return out;
  const double width = played.step().raw() / static_cast<double>(kSamples);
  for (const ActivitySeries& series : activity_over_time(played, kSamples)) {
    std::vector<Sample> samples;
    samples.reserve(kSamples);
    for (std::size_t i = 0; i < kSamples; ++i) {
      Activity activity;
      activity.format = scenario.precision.gemm;
      activity.flops_per_s = series.flops_per_s[i];
      activity.bytes_per_s = series.hbm_bytes_per_s[i];
      samples.push_back(
          {static_cast<double>(i) * width, chip_power(activity, scenario.cluster).raw()});
    }
    out.push_back(std::move(samples));
  }
  return out;
}

}  // namespace jevons::sim
