#include "jevons/reports/validation.hpp"

#include "jevons/core/error.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

using namespace jevons;
using namespace jevons::reports;

namespace {

ValidationRow row(double measured, double predicted) {
  ValidationRow r;
  r.id = "x";
  r.group = "op/h100-sxm/gemm";
  r.metric = "time_s";
  r.measured = measured;
  r.predicted = predicted;
  r.error = predicted / measured - 1.0;
  return r;
}

Validation of(std::vector<ValidationRow> rows) {
  Validation v;
  v.overall = statistics(rows);
  v.by_group["op/h100-sxm/gemm"] = v.overall;
  v.rows = std::move(rows);
  return v;
}

std::string temporary(const std::string& text) {
  const auto path = std::filesystem::temp_directory_path() / "jevons_truth_test.json";
  std::ofstream(path) << text;
  return path.string();
}

}  // namespace

TEST_CASE("statistics: mean, median, bias and P90 of errors worked out by hand") {
  // Errors -10, 0, +10, +20, +30 %: absolute 10, 0, 10, 20, 30.
  const std::vector<ValidationRow> rows{row(100, 90), row(100, 100), row(100, 110), row(100, 120),
                                        row(100, 130)};
  const ValidationStatistics s = statistics(rows);
  CHECK(s.n == 5);
  CHECK(s.failures == 0);
  CHECK(s.mape == doctest::Approx(0.14));
  CHECK(s.median == doctest::Approx(0.10));
  CHECK(s.bias == doctest::Approx(0.10));
  CHECK(s.p90 == doctest::Approx(0.26));  // 0.6 of the way from 20 to 30 %
}

TEST_CASE("statistics: a row that could not run counts as failed, never as skipped") {
  ValidationRow bad = row(1, 1);
  bad.predicted.reset();
  bad.error.reset();
  bad.reason = "no";
  const std::vector<ValidationRow> rows{row(100, 150), bad};
  CHECK(statistics(rows).n == 2);
  CHECK(statistics(rows).failures == 1);
  CHECK(statistics(rows).mape == doctest::Approx(0.5));
}

TEST_CASE("statistics: flags are scored right or wrong, by kind of mistake") {
  std::vector<ValidationRow> rows;
  for (const auto& [was, said] : {std::pair{1.0, 1.0}, {0.0, 1.0}, {0.0, 1.0}, {1.0, 0.0}}) {
    ValidationRow r = row(1, 1);
    r.is_flag = true;
    r.measured = was;
    r.predicted = said;
    r.error.reset();
    rows.push_back(r);
  }
  const ValidationStatistics s = statistics(rows);
  CHECK(s.flags == 4);
  CHECK(s.said_true_was_false == 2);
  CHECK(s.said_false_was_true == 1);
}

TEST_CASE("conditions: scope, statistic and limit") {
  const Validation v = of({row(100, 107), row(100, 120)});
  CHECK(failed_condition(v, "median>20%").empty());
  CHECK_FALSE(failed_condition(v, "median>8%").empty());
  CHECK_FALSE(failed_condition(v, "time_s:p90>=0.1").empty());
  CHECK_FALSE(failed_condition(v, "op/h100:|bias|>2%").empty());
  CHECK_FALSE(failed_condition(v, "each group:median>12%").empty());
  CHECK(failed_condition(v, "failures>0").empty());
  CHECK_FALSE(failed_condition(v, "time_s+step_time_s:n>1").empty());
  CHECK_THROWS_AS((void)failed_condition(v, "median"), Error);
  CHECK_THROWS_AS((void)failed_condition(v, "median>x"), Error);
  CHECK_THROWS_AS((void)failed_condition(v, "no/such:median>1%"), Error);
}

TEST_CASE("truth: shipped files read, with unique ids and known marks") {
  long cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(JEVONS_SOURCE_DIR "/tests/truth")) {
    const auto truth = read_truth(entry.path().string());
    CHECK_FALSE(truth.empty());
    cases += static_cast<long>(truth.size());
  }
  CHECK(cases == 3449);
}

TEST_CASE("truth: a wrong file is refused with place and reason") {
  const std::string head = R"({"schema":"jevons.truth/1","name":"n","cases":[)";
  for (
      const std::string body :
      {R"({"id":"a"}]})",
       R"({"id":"a","group":"g","source":"s","mark":"rumour","scenario":{},"measured":{"m":1}}]})",
       R"({"id":"a","group":"g","source":"s","mark":"primary","scenario":{},"measured":{}}]})",
       R"({"id":"a","group":"g","source":"s","mark":"primary","scenario":{},"measured":{"m":"fast"}}]})",
       R"({"id":"a","group":"g","source":"s","mark":"primary","scenario":{},"measured":{"m":1},"oops":1}]})"}) {
    const std::string path = temporary(head + body);
    CAPTURE(body);
    CHECK_THROWS_AS((void)read_truth(path), Error);
  }
}
