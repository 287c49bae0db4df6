#include "jevons/sim/requests.hpp"

#include "jevons/core/error.hpp"
#include "jevons/sim/statistics.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

using namespace jevons;
using namespace jevons::sim;

TEST_CASE("requests: the generator gives the published PCG32 sequence") {
  Pcg32 random(42, 54);  // pcg32-demo of the PCG library
  for (const std::uint32_t expected : {0xa15c02b7U, 0x7b47f409U, 0xba1d3330U, 0x83d2f293U}) {
    CHECK(random.next() == expected);
  }
}

TEST_CASE("requests: lognormal and gamma draws have the mean and spread asked for") {
  Pcg32 random(5);
  const Length length{.kind = Length::Kind::lognormal, .mean = 1000, .sigma = 0.8};
  double sum = 0, squares = 0, waits = 0, wait_squares = 0;
  constexpr int kDraws = 200000;
  for (int i = 0; i < kDraws; ++i) {
    const double x = draw_length(length, random);
    sum += x;
    squares += x * x;
    const double g = random.gamma(0.25);
    waits += g;
    wait_squares += g * g;
  }
  CHECK(sum / kDraws == doctest::Approx(1000).epsilon(0.01));
  CHECK(squares / sum == doctest::Approx(1000 * std::exp(0.64)).epsilon(0.03));
  CHECK(waits / kDraws == doctest::Approx(0.25).epsilon(0.02));
  const double variance = wait_squares / kDraws - std::pow(waits / kDraws, 2);
  CHECK(variance == doctest::Approx(0.25).epsilon(0.03));
}

TEST_CASE("requests: Poisson arrivals come at the rate asked for, gamma ones more in bursts") {
  ServeSpec spec;
  spec.input_tokens.mean = spec.output_tokens.mean = 10;
  spec.traffic = {.kind = Traffic::Kind::poisson, .requests_per_s = 8};
  const auto poisson = draw_requests(spec, 50000, 3);
  spec.traffic.kind = Traffic::Kind::gamma;
  spec.traffic.cv = 2;
  const auto gamma = draw_requests(spec, 50000, 3);
  const auto cv = [](const std::vector<Request>& r) {
    double sum = 0, squares = 0;
    for (std::size_t i = 1; i < r.size(); ++i) {
      const double gap = r[i].arrival_s - r[i - 1].arrival_s;
      sum += gap;
      squares += gap * gap;
    }
    const double n = static_cast<double>(r.size() - 1);
    return std::sqrt(squares / n - sum * sum / n / n) / (sum / n);
  };
  CHECK(50000 / poisson.back().arrival_s == doctest::Approx(8).epsilon(0.02));
  CHECK(50000 / gamma.back().arrival_s == doctest::Approx(8).epsilon(0.04));
  CHECK(cv(poisson) == doctest::Approx(1).epsilon(0.03));
  CHECK(cv(gamma) == doctest::Approx(2).epsilon(0.05));
}

TEST_CASE("requests: arrivals that do not vary come at an even beat") {
  ServeSpec spec;
  spec.traffic.kind = Traffic::Kind::gamma;
  spec.traffic.requests_per_s = 4;
  for (const double cv : {0.0, 1e-9}) {
    spec.traffic.cv = cv;
    const auto r = draw_requests(spec, 100, 1);
    CHECK(r[0].arrival_s == doctest::Approx(0.25));
    CHECK(r[99].arrival_s == doctest::Approx(25));
  }
  CHECK_THROWS_AS((void)draw_requests(spec, 1000000000, 1), Error);
}

TEST_CASE("trace: the contract's columns, in any order, sorted by arrival") {
  const auto r = parse_trace(
      "input_tokens,arrival_s,output_tokens,prefix_hit_tokens\n100,2.5,7,40\n50,0.5,3,50\n", "t");
  REQUIRE(r.size() == 2);
  CHECK(r[0].input == 50);
  CHECK(r[0].cached == 49);  // one token is always computed
  CHECK(r[1].arrival_s == doctest::Approx(2.0));
  CHECK(r[1].cached == 40);
}

TEST_CASE("trace: the Azure columns count seconds over midnight and month ends") {
  const auto r = parse_trace(
      "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2024-02-28 23:59:59.5000000,374,44\r\n"
      "2024-03-01 00:00:01.25,396,109\r\n",
      "azure.csv");
  REQUIRE(r.size() == 2);
  CHECK(r[1].arrival_s == doctest::Approx(86400 + 1.75));  // 2024 is a leap year
  CHECK(r[1].output == 109);
}

TEST_CASE("trace: a Mooncake line hits the leading blocks seen before, and only those") {
  const auto r = parse_trace(
      "{\"timestamp\":0,\"input_length\":1600,\"output_length\":5,\"hash_ids\":[1,2,3,4]}\n"
      "{\"timestamp\":3000,\"input_length\":2100,\"output_length\":6,\"hash_ids\":[1,2,9,4,8]}\n",
      "m.jsonl");
  REQUIRE(r.size() == 2);
  CHECK(r[0].cached == 0);
  CHECK(r[1].cached == 1024);
  CHECK(r[1].arrival_s == doctest::Approx(3));
}

TEST_CASE("trace: what cannot be read is answered with line and column") {
  for (const char* text :
       {"", "arrival_s,input_tokens\n1,2\n", "arrival_s,input_tokens,output_tokens\n",
        "arrival_s,input_tokens,output_tokens\n0,x,3\n",
        "arrival_s,input_tokens,output_tokens\n0,5,-3\n",
        "arrival_s,input_tokens,output_tokens\n0,5\n",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-13-01 00:00:00,1,1\n",
        "{\"timestamp\":0,\"input_length\":0,\"output_length\":1}", "{\"timestamp\":0,",
        "{\"timestamp\":0,\"input_length\":1,\"output_length\":1,\"hash_ids\":[1.5]}"}) {
    CHECK_THROWS_AS((void)parse_trace(text, "bad.csv"), Error);
  }
}

TEST_CASE("statistics: quantiles by selection are those of the sorted list") {
  Pcg32 random(9);
  for (const std::size_t n : {std::size_t{1}, std::size_t{2}, std::size_t{10}, std::size_t{997}}) {
    std::vector<double> values(n);
    for (double& v : values) v = std::floor(random.uniform() * 50);
    std::vector<double> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    std::vector<Weighted> weighted;
    for (const double v : values) weighted.push_back({v, 1});
    for (const double p : {0.01, 0.5, 0.9, 0.99, 1.0}) {
      // Brute force: the smallest value that at least p n values do not exceed.
      double expected = sorted.back();
      for (std::size_t i = n; i-- > 0;) {
        if (static_cast<double>(i + 1) >= p * static_cast<double>(n) - 1e-9) expected = sorted[i];
      }
      CHECK(quantile(values, p) == expected);
      CHECK(quantile(weighted, p) == expected);
    }
  }
}
