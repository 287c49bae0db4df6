#include "jevons/sim/continuous_batching.hpp"

#include "affine_costs.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

using namespace jevons::sim;
using jevons::test::affine_costs;
using jevons::test::drawn;
using jevons::test::outputs;

namespace {

struct Run {
  std::vector<Served> served;
  double end_s = 0, tokens = 0, prompts = 0, peak = 0, sequence_seconds = 0, preemptions = 0;
  double oversized = 0, gaps = 0, gap_s = 0;
};

/// Plays all requests; a closed loop of `users` when positive, else by their arrival times.
Run run(const std::vector<Request>& requests, BatchingLimits limits, std::size_t users) {
  ContinuousBatching engine(limits, affine_costs());
  std::size_t sent = 0, done = 0;
  const std::size_t first = users > 0 ? std::min(users, requests.size()) : requests.size();
  for (; sent < first; ++sent) {
    engine.arrive(requests[sent], users > 0 ? 0.0 : requests[sent].arrival_s);
  }
  while (done < requests.size()) {
    for (std::size_t i = 0, n = engine.advance().size(); i < n; ++i) {
      ++done;
      if (sent < requests.size()) engine.arrive(requests[sent++], engine.now());
    }
  }
  double gaps = 0, gap_s = 0;
  for (const Weighted& g : engine.gaps()) {
    gaps += g.count;
    gap_s += g.count * g.value;
  }
  return {.served = engine.served(),
          .end_s = engine.now(),
          .tokens = engine.tokens_out(),
          .prompts = engine.prompt_tokens(),
          .peak = engine.peak_cache_tokens(),
          .sequence_seconds = engine.decode_sequence_seconds(),
          .preemptions = engine.preemptions(),
          .oversized = engine.oversized_prompts(),
          .gaps = gaps,
          .gap_s = gap_s};
}

}  // namespace

TEST_CASE("continuous batching: one request costs its prompt step and output − 1 decode steps") {
  const std::vector<Request> one{{.input = 100, .output = 5}};
  const Run r = run(one, {}, 1);
  CHECK(r.served[0].first_token_s == doctest::Approx(1e-3 + 100e-5));
  double decode = 0;
  for (int i = 0; i < 4; ++i) decode += 1e-3 + 1e-4 + 1e-6 * (100 + i);
  CHECK(r.served[0].done_s == doctest::Approx(2e-3 + decode));
}

TEST_CASE("continuous batching: jumps over equal steps end where single steps do") {
  for (const auto& [rate, chunked] :
       {std::pair{0.0, true}, {20.0, true}, {60.0, true}, {0.0, false}, {20.0, false}}) {
    const std::vector<Request> requests = drawn(300, rate);
    BatchingLimits limits{
        .sequences = 16, .step_tokens = 256, .cache_tokens = 6000, .chunked_prefill = chunked};
    const Run jumped = run(requests, limits, rate > 0 ? 0 : 16);
    limits.jump = false;
    const Run stepped = run(requests, limits, rate > 0 ? 0 : 16);
    CHECK(jumped.end_s == doctest::Approx(stepped.end_s).epsilon(1e-9));
    for (std::size_t i = 0; i < requests.size(); ++i) {
      CHECK(jumped.served[i].first_token_s ==
            doctest::Approx(stepped.served[i].first_token_s).epsilon(1e-9));
      CHECK(jumped.served[i].done_s == doctest::Approx(stepped.served[i].done_s).epsilon(1e-9));
    }
  }
}

TEST_CASE("continuous batching: every token asked for comes out and every prompt goes in") {
  const std::vector<Request> requests = drawn(500, 0);
  const Run r = run(requests, {.sequences = 32, .step_tokens = 512}, 48);
  double inputs = 0;
  for (const Request& q : requests) inputs += q.input - q.cached;
  CHECK(r.tokens == doctest::Approx(outputs(requests)));
  CHECK(r.prompts == doctest::Approx(inputs));
}

TEST_CASE("continuous batching: a small cache preempts, is never exceeded and loses no token") {
  const std::vector<Request> requests = drawn(200, 0, 400);
  const BatchingLimits limits{.sequences = 64, .step_tokens = 2048, .cache_tokens = 5000};
  const Run r = run(requests, limits, 64);
  CHECK(r.preemptions > 0);
  CHECK(r.peak <= limits.cache_tokens);
  CHECK(r.tokens == doctest::Approx(outputs(requests)));
  double inputs = 0;
  for (const Request& q : requests) inputs += q.input;
  CHECK(r.prompts > inputs);  // recomputation
}

TEST_CASE("continuous batching: sequences in flight are output rate times time per token") {
  // Little's law over a whole run: the time integral of the batch is the sum of the decode times.
  const std::vector<Request> requests = drawn(400, 10);
  const Run r = run(requests, {.sequences = 64, .step_tokens = 4096}, 0);
  double decode = 0;
  for (const Served& s : r.served) decode += s.done_s - s.first_token_s;
  CHECK(r.sequence_seconds == doctest::Approx(decode).epsilon(1e-9));
}

TEST_CASE("continuous batching: users are throughput times time in the system") {
  const std::vector<Request> requests = drawn(4000, 0);
  const Run r = run(requests, {.sequences = 64, .step_tokens = 4096}, 24);
  double total = 0;
  for (const Served& s : r.served) total += s.done_s - s.arrival_s;
  const double rate = 4000 / r.end_s;
  CHECK(rate * total / 4000 == doctest::Approx(24).epsilon(0.02));  // the drain is short
}

TEST_CASE("continuous batching: a prompt longer than the budget is cut into chunks") {
  const std::vector<Request> one{{.input = 1000, .output = 1}};
  CHECK(run(one, {.step_tokens = 256}, 1).served[0].done_s == doctest::Approx(4e-3 + 1000e-5));
  const Run whole = run(one, {.step_tokens = 256, .chunked_prefill = false}, 1);
  CHECK(whole.served[0].done_s == doctest::Approx(1e-3 + 1000e-5));
  CHECK(whole.oversized == 1);
}

TEST_CASE("continuous batching: without chunks prompts run whole and alone while decoding waits") {
  // The first decodes when the others arrive: two share a step of 600, the third does not fit.
  const std::vector<Request> four{{.arrival_s = 0, .input = 100, .output = 50},
                                  {.arrival_s = 4e-3, .input = 300, .output = 1},
                                  {.arrival_s = 4e-3, .input = 300, .output = 1},
                                  {.arrival_s = 4e-3, .input = 300, .output = 1}};
  const Run r = run(four, {.step_tokens = 600, .chunked_prefill = false}, 0);
  double start = 2e-3;
  for (int i = 0; start < 4e-3; ++i) start += 1e-3 + 1e-4 + 1e-6 * (100 + i);
  CHECK(r.served[1].done_s == doctest::Approx(start + 1e-3 + 600e-5));
  CHECK(r.served[2].done_s == r.served[1].done_s);
  CHECK(r.served[3].done_s == doctest::Approx(r.served[1].done_s + 1e-3 + 300e-5));
  double decode = 0;
  for (int i = 0; i < 49; ++i) decode += 1e-3 + 1e-4 + 1e-6 * (100 + i);
  CHECK(r.served[0].done_s == doctest::Approx(2e-3 + decode + 2e-3 + 900e-5));
}

TEST_CASE(
    "continuous batching: the gaps of all sequences add up to their lives after the first token") {
  for (const bool chunked : {true, false}) {
    const std::vector<Request> requests = drawn(300, 20);
    for (const double cache : {0.0, 6000.0}) {
      const Run r = run(
          requests,
          {.sequences = 32, .step_tokens = 512, .cache_tokens = cache, .chunked_prefill = chunked},
          0);
      double later = 0, life = 0;
      for (std::size_t i = 0; i < requests.size(); ++i) {
        later += requests[i].output - 1;
        life += r.served[i].done_s - r.served[i].first_token_s;
      }
      CHECK(r.gaps == doctest::Approx(later));
      CHECK(r.gap_s == doctest::Approx(life).epsilon(cache > 0 ? 0.01 : 1e-9));
    }
  }
}

TEST_CASE("continuous batching: cached prefixes are not computed but fill the cache") {
  const std::vector<Request> one{{.input = 1000, .cached = 900, .output = 2}};
  const Run r = run(one, {}, 1);
  CHECK(r.prompts == doctest::Approx(100));
  CHECK(r.served[0].done_s == doctest::Approx(1e-3 + 100e-5 + 1e-3 + 1e-4 + 1e-6 * 1000));
}

TEST_CASE("continuous batching: speculation takes fewer steps for the same tokens") {
  const std::vector<Request> one{{.input = 10, .output = 101}};
  const Run plain = run(one, {}, 1);
  const Run two = run(one, {.tokens_per_step = 2}, 1);
  CHECK(plain.tokens == doctest::Approx(two.tokens));
  CHECK((two.served[0].done_s - two.served[0].first_token_s) /
            (plain.served[0].done_s - plain.served[0].first_token_s) ==
        doctest::Approx(0.5).epsilon(0.02));
}
