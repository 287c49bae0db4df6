#include "jevons/sim/fixed_batch.hpp"

#include "affine_costs.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

using namespace jevons::sim;
using jevons::test::Affine;
using jevons::test::affine_costs;
using jevons::test::drawn;
using jevons::test::outputs;

TEST_CASE("fixed batch: the time is that of its prompt steps and its decode steps") {
  const std::vector<Request> same(8, Request{.input = 100, .cached = 20, .output = 11});
  const FixedBatch run = play_fixed_batch(same, {.step_tokens = 500}, affine_costs());
  // 640 tokens to compute: a step of 500 and one of 140.
  const double prompts = 2e-3 + 640e-5;
  double decode = 0;
  for (int i = 0; i < 10; ++i) decode += 1e-3 + 8 * (1e-4 + 1e-6 * (101 + i));
  for (const Served& s : run.served) {
    CHECK(s.first_token_s == doctest::Approx(prompts));
    CHECK(s.done_s == doctest::Approx(prompts + decode));
  }
  CHECK(run.end_s == doctest::Approx(prompts + decode));
  CHECK(run.work.time_s == doctest::Approx(run.end_s));
  CHECK(run.sequence_seconds == doctest::Approx(8 * decode));
}

TEST_CASE("fixed batch: sequences leave as they end, as counted step by step") {
  const std::vector<Request> requests = drawn(40, 0);
  const Affine step;
  const FixedBatch run = play_fixed_batch(requests, {.step_tokens = 1e6}, affine_costs());
  double now = run.served[0].first_token_s, gaps = 0;
  std::vector<double> left, done(requests.size(), now);
  for (const Request& r : requests) left.push_back(r.output - 1);
  for (double k = 0;; ++k) {
    StepBatch batch;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (left[i] < 0.5) continue;
      batch.sequences += 1;
      batch.context += requests[i].input + 1 + k;
    }
    if (batch.sequences < 0.5) break;
    batch.context /= batch.sequences;
    now += step(batch).time_s;
    for (std::size_t i = 0; i < requests.size(); ++i) {
      if (left[i] < 0.5) continue;
      left[i] -= 1;
      done[i] = now;
    }
  }
  for (std::size_t i = 0; i < requests.size(); ++i) {
    CHECK(run.served[i].done_s == doctest::Approx(done[i]).epsilon(1e-9));
  }
  for (const Weighted& g : run.gaps) gaps += g.count;
  CHECK(gaps == doctest::Approx(outputs(requests) - static_cast<double>(requests.size())));
}

TEST_CASE("fixed batch: without chunks prompts stay whole, and a longer one runs alone") {
  const std::vector<Request> three{{.input = 300}, {.input = 700}, {.input = 300}};
  const auto end = [&](bool chunked) {
    return play_fixed_batch(three, {.step_tokens = 600, .chunked_prefill = chunked},
                            affine_costs());
  };
  CHECK(end(true).end_s == doctest::Approx(3e-3 + 1300e-5));  // 600, 600, 100
  CHECK(end(true).oversized_prompts == 0);
  CHECK(end(false).end_s == doctest::Approx(3e-3 + 1300e-5));  // 300, 700, 300
  CHECK(end(false).oversized_prompts == 1);
  const std::vector<Request> two{{.input = 400}, {.input = 400}};
  CHECK(
      play_fixed_batch(two, {.step_tokens = 600, .chunked_prefill = false}, affine_costs()).end_s ==
      doctest::Approx(2e-3 + 800e-5));
  CHECK(
      play_fixed_batch(two, {.step_tokens = 800, .chunked_prefill = false}, affine_costs()).end_s ==
      doctest::Approx(1e-3 + 800e-5));
}
