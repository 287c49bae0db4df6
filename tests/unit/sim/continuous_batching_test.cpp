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
  double gap_p50_s = 0, gap_p90_s = 0, gap_p99_s = 0;
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
          .gap_s = gap_s,
          .gap_p50_s = gaps > 0 ? quantile(engine.gaps(), 0.5) : 0,
          .gap_p90_s = gaps > 0 ? quantile(engine.gaps(), 0.9) : 0,
          .gap_p99_s = gaps > 0 ? quantile(engine.gaps(), 0.99) : 0};
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
    CHECK(jumped.gap_p50_s / stepped.gap_p50_s == doctest::Approx(1).epsilon(1e-9));
    CHECK(jumped.gap_p90_s / stepped.gap_p90_s == doctest::Approx(1).epsilon(1e-9));
    CHECK(jumped.gap_p99_s / stepped.gap_p99_s == doctest::Approx(1).epsilon(1e-9));
    for (std::size_t i = 0; i < requests.size(); ++i) {
      CHECK(jumped.served[i].first_token_s ==
            doctest::Approx(stepped.served[i].first_token_s).epsilon(1e-9));
      CHECK(jumped.served[i].done_s == doctest::Approx(stepped.served[i].done_s).epsilon(1e-9));
    }
  }
}

TEST_CASE("continuous batching: prompts held back, in jumps and step by step") {
  for (const PromptHold& hold :
       {PromptHold{.steps = 7, .share = 0.6}, PromptHold{.balance_steps = 9, .ranks = 4}}) {
    for (const double rate : {0.0, 40.0}) {
      const std::vector<Request> requests = drawn(300, rate);
      BatchingLimits limits{.sequences = 16, .step_tokens = 1024, .cache_tokens = 6000};
      limits.whole_prompts = true;
      limits.hold = hold;
      const Run jumped = run(requests, limits, rate > 0 ? 0 : 16);
      limits.jump = false;
      const Run stepped = run(requests, limits, rate > 0 ? 0 : 16);
      CHECK(jumped.tokens == doctest::Approx(outputs(requests)));
      for (std::size_t i = 0; i < requests.size(); ++i) {
        CHECK(jumped.served[i].first_token_s ==
              doctest::Approx(stepped.served[i].first_token_s).epsilon(1e-9));
        CHECK(jumped.served[i].done_s == doctest::Approx(stepped.served[i].done_s).epsilon(1e-9));
      }
      limits.hold = {};
      const Run free = run(requests, limits, rate > 0 ? 0 : 16);
      double held_s = 0, free_s = 0;
      for (std::size_t i = 0; i < requests.size(); ++i) {
        held_s += jumped.served[i].first_token_s - jumped.served[i].arrival_s;
        free_s += free.served[i].first_token_s - free.served[i].arrival_s;
      }
      CHECK(held_s > free_s);
    }
  }
}

TEST_CASE("continuous batching: a prompt held back waits so many steps, by hand") {
  const auto decode = [](double sequences, double contexts) {
    return 1e-3 + 1e-4 * sequences + 1e-6 * contexts;
  };
  // The first decodes alone from 2 ms on; the second comes in its first decode step.
  const double start = 2e-3;
  const auto second = [&](double input) {
    BatchingLimits limits{.step_tokens = 1000};
    limits.hold = {.steps = 5, .share = 0.5};
    return run({{.input = 100, .output = 50},
                {.arrival_s = start + 1e-4, .input = input, .output = 2}},
               limits, 0)
        .served[1]
        .first_token_s;
  };
  double steps = 0;
  for (int k = 0; k <= 5; ++k) steps += decode(1, 100 + k);
  CHECK(second(100) == doctest::Approx(start + steps + decode(1, 106) + 100e-5));
  CHECK(second(600) == doctest::Approx(start + decode(1, 100) + decode(1, 101) + 600e-5));

  // Two ranks decode from 3 ms on; prompts go when both have one, or with the sixth step.
  const auto balanced = [&](bool both) {
    BatchingLimits limits{.step_tokens = 1000};
    limits.hold = {.balance_steps = 6, .ranks = 2};
    std::vector<Request> requests{{.input = 100, .output = 50},
                                  {.input = 100, .output = 50},
                                  {.arrival_s = 3e-3 + 1e-4, .input = 100, .output = 2}};
    if (both) requests.push_back({.arrival_s = 3e-3 + 3e-3, .input = 100, .output = 2});
    return run(requests, limits, 0).served[2].first_token_s;
  };
  double five = 0, three = 0;
  for (int k = 0; k < 5; ++k) five += decode(2, 200 + 2 * k);
  for (int k = 0; k < 3; ++k) three += decode(2, 200 + 2 * k);
  CHECK(balanced(false) == doctest::Approx(3e-3 + five + decode(2, 210) + 100e-5));
  CHECK(balanced(true) == doctest::Approx(3e-3 + three + decode(2, 206) + 200e-5));
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

TEST_CASE("continuous batching: swapped sequences are copied out and back, nothing is recomputed") {
  const std::vector<Request> requests = drawn(200, 0, 400);
  BatchingLimits limits{.sequences = 64, .step_tokens = 2048, .cache_tokens = 5000};
  const Run again = run(requests, limits, 64);
  limits.swap_tokens_per_s = 1e6;
  const Run swapped = run(requests, limits, 64);
  double inputs = 0;
  for (const Request& q : requests) inputs += q.input;
  CHECK(swapped.preemptions > 0);
  CHECK(swapped.prompts == doctest::Approx(inputs));
  CHECK(swapped.tokens == doctest::Approx(outputs(requests)));
  CHECK(swapped.peak <= limits.cache_tokens);
  // A prompt token costs 10 us: copies of 1 us a token are cheaper, of 100 us dearer.
  CHECK(swapped.end_s < again.end_s);
  limits.swap_tokens_per_s = 1e4;
  CHECK(run(requests, limits, 64).end_s > again.end_s);
}

TEST_CASE("continuous batching: a swap costs its bytes twice, by hand") {
  // Two sequences of 100 in and 41 out share a cache of 250: after 24 steps both hold 124 and one
  // more token each does not fit. The second leaves, and comes back when the first is done.
  const std::vector<Request> two{{.input = 100, .output = 41}, {.input = 100, .output = 41}};
  const Run r = run(two, {.cache_tokens = 250, .swap_tokens_per_s = 1e5}, 2);
  CHECK(r.preemptions == 1);
  const auto steps = [](double sequences, double from, double to) {
    double sum = 0;
    for (double c = from; c < to; ++c) sum += 1e-3 + 1e-4 * sequences + 1e-6 * sequences * c;
    return sum;
  };
  const double prompts = 1e-3 + 200e-5;
  const double first = prompts + steps(2, 100, 125) + 125 / 1e5 + steps(1, 125, 140);
  CHECK(r.served[0].done_s == doctest::Approx(first));
  CHECK(r.served[1].done_s == doctest::Approx(first + 125 / 1e5 + steps(1, 125, 140)));
}

TEST_CASE("continuous batching: half-empty blocks leave room for fewer sequences") {
  const std::vector<Request> requests = drawn(200, 0, 400);
  BatchingLimits limits{.sequences = 64, .step_tokens = 2048, .cache_tokens = 5000};
  const Run exact = run(requests, limits, 64);
  limits.block_tokens = 128;
  const Run blocks = run(requests, limits, 64);
  CHECK(blocks.peak <= limits.cache_tokens);
  CHECK(blocks.end_s > exact.end_s);
  CHECK(blocks.tokens == doctest::Approx(outputs(requests)));
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
