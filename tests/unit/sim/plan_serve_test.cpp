#include "jevons/sim/plan_serve.hpp"

#include "jevons/reports/scenario_json.hpp"
#include "jevons/sim/run.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <random>

using namespace jevons;
using namespace jevons::sim;

namespace {

bool equal(const ServePlan& a, const ServePlan& b) {
  return a.tokens_per_s_per_user == b.tokens_per_s_per_user &&
         a.output_tokens_per_s_per_accelerator == b.output_tokens_per_s_per_accelerator;
}

bool dominated(const ServePlan& a, const std::vector<ServePlan>& all) {
  for (const ServePlan& b : all) {
    if (!equal(a, b) && b.tokens_per_s_per_user >= a.tokens_per_s_per_user &&
        b.output_tokens_per_s_per_accelerator >= a.output_tokens_per_s_per_accelerator) {
      return true;
    }
  }
  return false;
}

}  // namespace

TEST_CASE("plan: the Pareto front holds exactly the points that no other point dominates") {
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    std::vector<ServePlan> points(1 + random() % 60);
    for (ServePlan& point : points) {
      point.tokens_per_s_per_user = static_cast<double>(random() % 20);
      point.output_tokens_per_s_per_accelerator = static_cast<double>(random() % 20);
    }
    const std::vector<ServePlan> front = pareto_front(points);
    for (std::size_t i = 0; i < front.size(); ++i) {
      CHECK_FALSE(dominated(front[i], points));
      if (i > 0) CHECK(front[i].tokens_per_s_per_user > front[i - 1].tokens_per_s_per_user);
    }
    for (const ServePlan& point : points) {
      if (dominated(point, points)) continue;
      bool found = false;
      for (const ServePlan& kept : front) found |= equal(kept, point);
      CHECK(found);
    }
  }
}

TEST_CASE("plan: layouts multiply to the instance and divide heads and experts") {
  const workloads::ModelConfig model = workloads::model("deepseek-v3", "test");
  for (const long chips : {1L, 2L, 8L, 16L, 32L, 64L}) {
    const auto layouts = serve_layouts(model, 8, chips);
    CHECK_FALSE(layouts.empty());
    for (const ServePlan& layout : layouts) {
      const auto& p = layout.parallelism;
      CHECK(p.world() == chips);
      CHECK(p.tp <= 8);
      CHECK(128 % p.tp == 0);
      CHECK(256 % p.ep == 0);
      CHECK((p.tp * p.cp * p.dp) % (p.ep * p.etp) == 0);
    }
  }
}

TEST_CASE("plan: a plan does what its scenario does, whatever layout the base has") {
  const hwmodels::Catalogue catalogue;
  const auto scenario = [&](long count, long tp, double users) {
    Json json = parse_json(R"({"task": "serve", "model": "llama-3.1-70b", "precision": "fp8",
      "cluster": {"accelerator": "h200-sxm"}, "parallelism": {}, "stack": "vllm-0.18",
      "serve": {"traffic": {"kind": "closed"}}})",
                           "test");
    json["cluster"]["count"] = count;
    json["parallelism"]["tp"] = tp;
    json["serve"]["traffic"]["concurrency"] = users;
    return reports::read_scenario(json, "test", catalogue);
  };
  for (const long tp : {1L, 8L}) {  // a base of eight replicas' ranks, and of one
    PlanServeRequest request;
    request.base = scenario(8, tp, 64);
    const ServePlanning planning = plan_serve(request);
    REQUIRE(planning.ranked.size() > 3);
    for (std::size_t i = 0; i < planning.ranked.size(); i += 5) {
      const ServePlan& plan = planning.ranked[i];
      if (plan.parallelism.dp > 1 || plan.parallelism.pp > 1) continue;
      const Result result =
          run(scenario(plan.accelerators_per_instance, plan.parallelism.tp, plan.concurrency),
              {.resolution = Resolution::analytic});
      CHECK(plan.tpot_s == doctest::Approx(*result.metrics.number("tpot_mean_s")).epsilon(1e-9));
      CHECK(plan.ttft_s == doctest::Approx(*result.metrics.number("ttft_mean_s")).epsilon(0.02));
    }
  }
}
