// Closed forms of serving against counting by hand.
#include "jevons/reports/scenario_json.hpp"
#include "jevons/sim/run.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <functional>
#include <queue>
#include <string>
#include <vector>

using namespace jevons;

namespace {

sim::Metrics serve(const std::string& scenario) {
  const hwmodels::Catalogue catalogue;
  return sim::run(reports::read_scenario(parse_json(scenario, "test"), "test", catalogue)).metrics;
}

/// Mean wait, in units of the service time, of `requests` sent by `users` to `slots` servers.
double mean_wait(long requests, long users, long slots) {
  std::priority_queue<double, std::vector<double>, std::greater<>> free, sent;
  for (long i = 0; i < slots; ++i) free.push(0);
  for (long i = 0; i < users; ++i) sent.push(0);
  double sum = 0;
  for (long i = 0; i < requests; ++i) {
    const double arrival = sent.top();
    sent.pop();
    const double start = std::max(arrival, free.top());
    free.pop();
    sum += start - arrival;
    free.push(start + 1);
    sent.push(start + 1);
  }
  return sum / static_cast<double>(requests);
}

}  // namespace

TEST_CASE("serving: users beyond the engine's slots wait as a queue counted one by one") {
  const auto at = [](long users, long requests) {
    return serve(R"({"task": "serve", "model": "llama-3.1-8b",
      "cluster": {"accelerator": "h100-sxm", "count": 1}, "precision": "bf16", "stack": "vllm-0.18",
      "serve": {"mode": "aggregated", "input_tokens": 128, "output_tokens": 2000,
                "traffic": {"kind": "closed", "concurrency": )" +
                 std::to_string(users) + R"(, "requests": )" + std::to_string(requests) +
                 R"(, "warm_up_requests": 0}, "max_batch_sequences": 64}})");
  };
  for (const auto& [users, requests] :
       {std::pair{512L, 640L}, {256L, 2560L}, {320L, 320L}, {512L, 160L}}) {
    CAPTURE(users);
    const sim::Metrics m = at(users, requests);
    const double service = 1999 * *m.number("tpot_mean_s");
    // The prompt itself is 1 % of the service time here.
    CHECK(*m.number("ttft_mean_s") / service ==
          doctest::Approx(mean_wait(requests, users, 64)).epsilon(0.03));
  }
}

TEST_CASE("serving: kernels of older matrix instructions go by units and clock, not by the peak") {
  const auto prompts = [](const std::string& hardware, const std::string& stack) {
    return *serve(R"({"task": "serve", "model": "llama-3.1-8b", "precision": "fp16", "stack": ")" +
                  stack + R"(", "cluster": {"accelerator": ")" + hardware + R"(", "count": 1},
      "serve": {"mode": "static", "input_tokens": 2048,
      "output_tokens": 1, "traffic": {"kind": "static", "batch": 1}}})")
                .number("input_tokens_per_s");
  };
  const double old = prompts("h100-pcie", "llama.cpp") / prompts("a100-80gb-sxm", "llama.cpp");
  const double peak = prompts("h100-pcie", "ideal") / prompts("a100-80gb-sxm", "ideal");
  CHECK(old == doctest::Approx(114 * 1.755 / (108 * 1.41)).epsilon(0.1));
  CHECK(peak > 1.5 * old);
}
