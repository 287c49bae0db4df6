// plan, fit, traces and the event resolution from the command line.
#include "run.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

using Json = nlohmann::ordered_json;

namespace {

const std::string kV3 = "tests/scenarios/deepseek-v3-train.json";

std::vector<std::string> plan(std::vector<std::string> more) {
  std::vector<std::string> arguments{
      "plan", "llama-3.1-8b",    "--hw", "h100-sxm", "--count", "2", "--precision",
      "fp8",  "--output-tokens", "100",  "--json",   "-"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

}  // namespace

TEST_CASE("cli: plan keeps to the SLO and carries the load") {
  const Ran ran = jevons_run(plan({"--set", "serve.slo.tpot_s=0.02", "--demand-users", "100"}));
  CAPTURE(ran.err);
  REQUIRE(ran.code == 0);
  const Json planning = Json::parse(ran.out);
  REQUIRE_FALSE(planning["ranked"].empty());
  double last = 0;
  for (const Json& one : planning["ranked"]) {
    CHECK(one["tpot_p50_s"].get<double>() <= 0.02);
    CHECK(one["instances"].get<double>() * one["concurrency_per_instance"].get<double>() >= 100);
    CHECK(one["usd_per_mtok_output"].get<double>() >= last);  // cheapest first
    last = one["usd_per_mtok_output"].get<double>();
  }
}

TEST_CASE("cli: plan exits 4 and says which limit binds when nothing qualifies") {
  const Ran ran = jevons_run(plan({"--set", "serve.slo.tpot_s=1e-6"}));
  CHECK(ran.code == 4);
  CHECK(contains(ran.err, "infeasible"));
  CHECK(contains(ran.err, "TPOT"));
  CHECK(Json::parse(ran.out)["ranked"].empty());
}

TEST_CASE("cli: what plan says would do does") {
  const std::vector<std::string> load{
      "--demand-requests", "400", "--max-accelerators", "4", "--set", "serve.slo.ttft_s=0.02"};
  const auto with = [&](const std::vector<std::string>& first) {
    std::vector<std::string> all = first;
    all.insert(all.end(), load.begin(), load.end());
    return jevons_run(plan(all));
  };
  const Ran ran = with({"--set", "serve.slo.tpot_s=0.001"});
  CAPTURE(ran.err);
  REQUIRE(ran.code == 4);
  const Json said = Json::parse(ran.out)["infeasible"];
  const std::string change = said["smallest_change"];
  const auto number_before = [&](const std::string& after, const std::string& before) {
    const std::size_t from = after.empty() ? 0 : change.find(after) + after.size();
    return change.substr(from, change.find(before, from) - from);
  };
  // All three limits are missed, and each is named with the value that would do.
  REQUIRE(contains(change, "TPOT limit of "));
  REQUIRE(contains(change, "TTFT limit of "));
  REQUIRE(contains(change, " accelerators in all"));
  const std::string tpot = number_before("TPOT limit of ", " ms");
  const std::string ttft = number_before("TTFT limit of ", " ms");
  const std::string chips = number_before("TTFT limit of " + ttft + " ms and ", " accelerators");
  const Ran then = jevons_run(
      plan({"--demand-requests", "400", "--max-accelerators", chips, "--set",
            "serve.slo.tpot_s=" + tpot + "ms", "--set", "serve.slo.ttft_s=" + ttft + "ms"}));
  CAPTURE(then.err);
  CHECK(then.code == 0);
}

TEST_CASE("cli: plan draws what it found, in the terminal and on a page") {
  const Folder folder;
  const std::string page = folder.file("plan.html");
  const std::vector<std::string> asked{"plan", "llama-3.1-8b", "--hw", "h100-sxm", "--count", "2"};
  const Ran shown = jevons_run(asked);
  CHECK(shown.code == 0);
  CHECK(contains(shown.out, "tok/s/chip\n"));
  CHECK(contains(shown.out, " tok/s/user\n"));

  std::vector<std::string> drawn = asked;
  drawn.insert(drawn.end(), {"--html", page, "--json", "-"});
  const Ran ran = jevons_run(drawn);
  REQUIRE(ran.code == 0);
  const Json planning = Json::parse(ran.out);
  const std::string html = slurp(page);
  const auto circles = [&](const std::string& css) {
    std::size_t n = 0;
    const std::string part = "class=\"" + css + "\"><title>";
    for (std::size_t at = html.find(part); at != std::string::npos; at = html.find(part, at + 1)) {
      ++n;
    }
    return n;
  };
  CHECK(circles("k7") == planning["fitting"].get<std::size_t>());
  CHECK(circles("k2") == planning["ranked"].size());
  CHECK(circles("k0") == planning["pareto"].size());
}

TEST_CASE("cli: plan says how many accelerators a model would fit on") {
  const Ran ran = jevons_run({"plan", "deepseek-v3", "--hw", "h100-sxm", "--count", "4",
                              "--precision", "fp8-block", "--quiet"});
  CHECK(ran.code == 4);
  CHECK(contains(ran.err, "fits with tp"));
  CHECK(contains(ran.err, "on 16 accelerators"));
}

TEST_CASE("cli: plan refuses two demands at once and a training scenario") {
  CHECK(jevons_run(plan({"--demand-users", "5", "--demand-requests", "5"})).code == 2);
  CHECK(jevons_run(plan({"--demand-users", "-5"})).code == 2);
  CHECK(jevons_run({"plan", kV3}).code == 3);
}

TEST_CASE("cli: a training step is written as a trace") {
  const Folder folder;
  const Ran ran = jevons_run({"train", "llama-3.1-8b", "--hw", "h100-sxm", "--count", "8", "--pp",
                              "2", "--tp", "2", "--global-batch", "16", "--recompute", "full",
                              "--trace", folder.file("t.json"), "--quiet"});
  CAPTURE(ran.err);
  REQUIRE((ran.code == 0 || ran.code == 4));
  CHECK(Json::parse(slurp(folder.file("t.json")))["traceEvents"].size() > 100);
}

TEST_CASE("cli: the events of a step and its closed form are near each other") {
  const auto step = [](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"train", kV3, "--json", "-"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Json::parse(jevons_run(arguments).out)["metrics"]["step_time_s"].get<double>();
  };
  const double closed = step({"--analytic"}), played = step({});
  CHECK(played != closed);
  CHECK(played == doctest::Approx(closed).epsilon(0.1));
}

TEST_CASE("cli: fit writes a SKU file that can be used, and leaves the rows no worse") {
  const Folder folder;
  const Ran ran =
      jevons_run({"fit", "tests/truth/ops-tables.json", "tests/truth/ops-kernels.json", "--hw",
                  "h100-sxm", "--constant", "gemm.droop", "--out", folder.file("mine.json")});
  CAPTURE(ran.err);
  REQUIRE(ran.code == 0);
  CHECK(contains(ran.out, "gemm.droop"));
  const Json sku = Json::parse(slurp(folder.file("mine.json")));
  CHECK(sku["constants"]["gemm.droop"]["value"].get<double>() > 0);
  CHECK(jevons_run({"roofline", "--op", "gemm", "--m", "64", "--n", "64", "--k", "64", "--hw",
                    folder.file("mine.json"), "--count", "1"})
            .code == 0);
  CHECK(jevons_run({"fit", "tests/truth/ops.json", "--hw", "h100-smx"}).code == 3);
}

TEST_CASE("show routing: the bias rule brings the busiest expert down, step by step") {
  const Ran shown = jevons_run({"show", "routing", "deepseek-v3", "--json", "-"});
  REQUIRE(shown.code == 0);
  const auto loads = nlohmann::json::parse(shown.out)["max_over_mean"];
  CHECK(loads["bias"].back() < 0.6 * loads["bias"].front().get<double>());
  CHECK(loads["none"].back() > 0.8 * loads["none"].front().get<double>());
  const Ran dense = jevons_run({"show", "routing", "llama-3.1-8b"});
  CHECK(dense.code == 3);
  CHECK(contains(dense.err, "no routed experts"));
}
