// The closed form against the played step, on the plans of measured runs. Which of the two is
// nearer to the measurement is not asked here (`jevons validate`).
#include "stride.hpp"

#include "jevons/core/error.hpp"
#include "jevons/core/json_reader.hpp"
#include "jevons/reports/scenario_json.hpp"
#include "jevons/reports/validation.hpp"
#include "jevons/sim/event_train.hpp"
#include "jevons/sim/memory.hpp"
#include "jevons/sim/timeline.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

using namespace jevons;
using namespace jevons::sim;
using test::kStride;

TEST_CASE(
    "event training: the closed form is within 5 % at the median and 10 % at the ninth decile") {
  const hwmodels::Catalogue catalogue;
  std::vector<double> errors, memory;
  for (const char* name :
       {"nvidia", "papers", "open", "sweeps", "runs", "gpt-a100", "sweep-h100"}) {
    const std::string file =
        std::string(JEVONS_SOURCE_DIR) + "/tests/truth/training-" + name + ".json";
    const auto cases = reports::read_truth(file);
    for (std::size_t i = 0; i < cases.size(); i += kStride) {
      try {
        const auto scenario =
            reports::read_scenario(parse_json(cases[i].scenario, file), file, catalogue);
        auto plan = plan_training(scenario);
        add_memory(scenario, plan);
        const auto played = play_training(plan);
        errors.push_back(std::abs(closed_form(plan).step.raw() / played.step().raw() - 1));
        const double peak =
            *std::max_element(played.memory_peak_bytes.begin(), played.memory_peak_bytes.end());
        memory.push_back(std::abs(training_memory(scenario).peak().total().raw() / peak - 1));
      } catch (const Error&) {
        // A layout that cannot run is the business of `validate`.
      }
    }
  }
  REQUIRE(errors.size() > 1000 / kStride);
  std::sort(errors.begin(), errors.end());
  const double median = errors[errors.size() / 2], p90 = errors[errors.size() * 9 / 10];
  MESSAGE("closed form against events: median " << median << ", P90 " << p90 << ", worst "
                                                << errors.back());
  CHECK(median <= 0.05);
  CHECK(p90 <= 0.10);
  // Memory along the timeline against the activations that the schedule's formula says are in
  // flight.
  std::sort(memory.begin(), memory.end());
  CHECK(memory[memory.size() * 9 / 10] < 1e-9);
  CHECK(memory.back() < 0.10);  // dualpipe with uneven stages
}
