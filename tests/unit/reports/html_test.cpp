#include "jevons/reports/html.hpp"

#include "jevons/reports/format.hpp"
#include "jevons/reports/plan.hpp"
#include "jevons/reports/scenario_json.hpp"
#include "jevons/sim/run.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <utility>

using namespace jevons;
using namespace jevons::reports;

namespace {

std::string page_of(const std::string& name) {
  Json scenario = parse_json(
      read_text_file(std::string(JEVONS_SOURCE_DIR) + "/tests/scenarios/deepseek-v3-train.json"),
      "s");
  scenario["name"] = name;
  const hwmodels::Catalogue catalogue;
  const std::vector<sim::Result> results{sim::run(read_scenario(scenario, "s", catalogue))};
  return results_to_html(results, {name, "jevons train", "1"});
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("html: a hostile name is escaped everywhere") {
  const std::string page = page_of("<script>alert('x')</script>&\"");
  CHECK_FALSE(contains(page, "<script"));
  CHECK(contains(page, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"));
}

TEST_CASE("html: one file, no scripts, nothing fetched, a strict policy") {
  const std::string page = page_of("plain");
  CHECK(contains(page, "default-src 'none'"));
  for (const char* outside : {"src=", "href=", "@import", "url(", "onclick", "javascript:"}) {
    CAPTURE(outside);
    CHECK_FALSE(contains(page, outside));
  }
  CHECK(contains(page, "Assumptions and sources"));
  CHECK(contains(page, "prefers-color-scheme:dark"));
  CHECK(contains(page, "@media print"));
}

TEST_CASE("html: a plan is drawn where its numbers are, and escaped") {
  sim::ServePlan slow, fast;
  slow.tokens_per_s_per_user = 20;
  slow.output_tokens_per_s_per_accelerator = 1000;
  fast.tokens_per_s_per_user = 40;
  fast.output_tokens_per_s_per_accelerator = 500;
  fast.precision.preset = "<b>";
  sim::ServePlanning planning;
  planning.candidates = 2;
  planning.fitting = planning.pareto = {slow, fast};
  const std::string page = planning_to_html(planning, "usd_per_mtok", {"<i>", "jevons plan", "1"});
  for (const char* outside : {"<script", "src=", "href=", "<b>", "<i>"}) {
    CAPTURE(outside);
    CHECK_FALSE(contains(page, outside));
  }
  const auto circle = [&](const std::string& css) {
    const std::size_t end = page.find("class=\"" + css + "\"><title>");
    REQUIRE(end != std::string::npos);
    const std::string tag = page.substr(page.rfind("<circle", end));
    const auto value = [&](const std::string& key) {
      return std::stod(tag.substr(tag.find(key + "=\"") + key.size() + 2));
    };
    return std::pair{value("cx"), value("cy")};
  };
  // Each plan once among those that fit and once on the front, in the same place.
  CHECK(circle("k7") == circle("k0"));
  // One plot of 900 by 420: the greatest of each axis at its end, half of it in the middle.
  CHECK(circle("k0").first == doctest::Approx(70 + 450));
  CHECK(circle("k0").second == doctest::Approx(30));
  CHECK(contains(page, "points=\"520.0,30.0 970.0,240.0 \""));
}

TEST_CASE("format: numbers as people read them") {
  CHECK(format_metric("step_time_s", 19.926) == "19.9 s");
  CHECK(format_metric("cost_usd", 5.328e6) == "$5.33 M");
  CHECK(format_metric("accelerator_hours", 2.664e6) == "2.66 M h");
  CHECK(format_metric("memory_peak_bytes", 66.8e9) == "66.8 GB");
  CHECK(format_metric("mfu", 0.3894) == "38.9 %");
  CHECK(format_metric("power_w_per_accelerator", 492.1) == "492 W");
  CHECK(format_metric("energy_j", 3.6e12) == "1.00 GWh");
  CHECK(format_metric("usd_per_mtok_output", 0.3) == "$0.3/Mtok");
  CHECK(format_seconds(54.2 * 86400) == "54.2 days");
  CHECK(with_prefix(999.9e9, "B") == "1.00 TB");
  CHECK(metric_label("power_w_per_accelerator") == "power per accelerator");
  CHECK(metric_label("tokens_per_s_per_accelerator") == "tokens per s per accelerator");
  CHECK(metric_label("tokens_per_j") == "tokens per J");
  CHECK(metric_label("it_power_w_per_accelerator") == "IT power per accelerator");
  CHECK(metric_label("exposed_comm_fraction") == "exposed communication");
}
