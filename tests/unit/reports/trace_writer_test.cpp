#include "jevons/reports/trace_writer.hpp"

#include "jevons/core/json_reader.hpp"
#include "jevons/reports/scenario_json.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <map>

using namespace jevons;

namespace {

sim::Scenario scenario(const char* schedule) {
  const std::string text = std::string(R"({"schema":"jevons.scenario/1","name":"t","task":"train",
      "model":"deepseek-v3","precision":"fp8-block",
      "cluster":{"accelerator":"h800-sxm","count":2048},
      "parallelism":{"tp":1,"pp":16,"ep":64,"sharding":"zero1"},"stack":"deepseek-2024",
      "train":{"sequence_length":4096,"global_batch_sequences":4096,"micro_batch_sequences":1,
               "schedule":")") +
                           schedule + "\"}}";
  return reports::read_scenario(parse_json(text, "t"), "t", hwmodels::Catalogue());
}

using Place = std::pair<long, long>;

/// Whole nanoseconds.
long long ns(const Json& microseconds) {
  return std::llround(microseconds.get<double>() * 1000.0);
}

}  // namespace

TEST_CASE("trace: names are escaped, and what vanishes at a nanosecond is left out") {
  sim::Trace trace;
  trace.processes = {{"a \"rank\"\n\\", {"one"}}};
  trace.slices = {{0, 0, 0.0, 1e-6, "x\"\t", "c", {{"n", 1.0}}},
                  {0, 0, 1e-6, 1e-6 + 1e-10, "y", "c", {}}};
  const auto json = Json::parse(reports::trace_to_json(trace));
  const auto& events = json.at("traceEvents");
  REQUIRE(events.size() == 3);
  CHECK(events[0].at("args").at("name") == "a \"rank\"\n\\");
  CHECK(events[2].at("name") == "x\"\t");
  CHECK(ns(events[2].at("dur")) == 1000);
}

TEST_CASE("trace: slices never overlap on a track, time stamps never fall, flows join slices") {
  for (const char* schedule : {"dualpipe", "1f1b", "zb-h1"}) {
    CAPTURE(schedule);
    const auto trace = sim::trace_training(scenario(schedule));
    const auto json = Json::parse(reports::trace_to_json(trace));
    std::map<Place, long long> track_end;
    std::map<Place, std::map<long long, bool>> starts;
    std::map<long, std::pair<int, int>> flows;  // begins, ends
    std::map<std::string, long> phases;
    long long last = 0, slices_end = 0;
    for (const auto& event : json.at("traceEvents")) {
      const auto phase = event.at("ph").get<std::string>();
      ++phases[phase];
      if (phase == "M") continue;
      const auto at = ns(event.at("ts"));
      REQUIRE(at >= last);
      last = at;
      const Place place{event.at("pid").get<long>(), event.at("tid").get<long>()};
      if (phase == "X") {
        REQUIRE(ns(event.at("dur")) >= 1);
        REQUIRE(at >= track_end[place]);
        track_end[place] = at + ns(event.at("dur"));
        slices_end = std::max(slices_end, track_end[place]);
        starts[place][at] = true;
      } else if (phase == "s" || phase == "f") {
        REQUIRE(starts[place].count(at) == 1);
        auto& [begins, ends] = flows[event.at("id").get<long>()];
        phase == "s" ? ++begins : ++ends;
        REQUIRE(begins == 1);  // an end comes after its begin
      } else {
        REQUIRE(event.at("args").at("value").get<double>() > 0);
      }
    }
    for (const auto& [id, count] : flows) {
      REQUIRE(count == std::pair(1, 1));
    }
    // 32 micro-batches down and up 15 borders of 16 ranks.
    CHECK(flows.size() == 32 * 15 * 2);
    CHECK(phases["C"] > 16 * 400);
    CHECK(phases["M"] == 16 * (1 + static_cast<long>(sim::Track::count)));
    CHECK(slices_end > 0);
  }
}
