#include "jevons/sim/disaggregated.hpp"

#include "affine_costs.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

using namespace jevons::sim;
using jevons::test::Affine;
using jevons::test::affine_costs;
using jevons::test::drawn;
using jevons::test::outputs;

namespace {

struct Setup {
  std::size_t prefill = 1, decode = 1;
  BatchingLimits limits{.sequences = 64, .step_tokens = 1024};
  CacheLink link{.s_per_token = 1e-5};
  Affine prefill_cost{};
  std::size_t users = 0;  ///< 0: by arrival times
};

Disaggregated play(const std::vector<Request>& requests, const Setup& s) {
  Disaggregated engine({s.prefill, s.limits, affine_costs(s.prefill_cost)},
                       {s.decode, s.limits, affine_costs()}, s.link);
  std::size_t sent = 0, done = 0;
  const std::size_t first = s.users > 0 ? std::min(s.users, requests.size()) : requests.size();
  for (; sent < first; ++sent) {
    engine.arrive(requests[sent], s.users > 0 ? 0.0 : requests[sent].arrival_s);
  }
  while (done < requests.size()) {
    for (std::size_t i = 0, n = engine.advance().size(); i < n; ++i) {
      ++done;
      if (sent < requests.size()) engine.arrive(requests[sent++], engine.now());
    }
  }
  return engine;
}

double decode_s(const std::vector<Served>& served) {
  double sum = 0;
  for (const Served& s : served) sum += s.done_s - s.first_token_s;
  return sum;
}

}  // namespace

TEST_CASE("disaggregated: one request costs its prompt, the crossing of its cache and its steps") {
  const std::vector<Request> one{{.input = 100, .cached = 30, .output = 5}};
  const Disaggregated engine = play(one, {});
  const Served& s = engine.served()[0];
  CHECK(s.first_token_s == doctest::Approx(1e-3 + 70e-5));  // hits are not computed …
  double decode = 0;
  for (int i = 0; i < 4; ++i) decode += 1e-3 + 1e-4 + 1e-6 * (100 + i);
  CHECK(s.done_s == doctest::Approx(s.first_token_s + 100e-5 + decode));  // … but sent
  CHECK(engine.transfers().at(0) == doctest::Approx(100e-5));
}

TEST_CASE("disaggregated: an answer of one token never crosses to the decode pool") {
  const std::vector<Request> one{{.input = 100, .output = 1}};
  const Disaggregated engine = play(one, {});
  CHECK(engine.served()[0].done_s == engine.served()[0].first_token_s);
  CHECK(engine.transfers().empty());
}

TEST_CASE("disaggregated: jumps over equal steps end where single steps do") {
  for (const std::size_t users : {std::size_t{0}, std::size_t{40}}) {
    const std::vector<Request> requests = drawn(600, users > 0 ? 0 : 60);
    Setup setup{.prefill = 2, .decode = 3, .users = users};
    setup.limits = {.sequences = 12, .step_tokens = 512, .cache_tokens = 4000};
    const Disaggregated jumped = play(requests, setup);
    setup.limits.jump = false;
    const Disaggregated stepped = play(requests, setup);
    CHECK(jumped.preemptions() == stepped.preemptions());
    for (std::size_t i = 0; i < requests.size(); ++i) {
      CHECK(jumped.served()[i].first_token_s ==
            doctest::Approx(stepped.served()[i].first_token_s).epsilon(1e-9));
      CHECK(jumped.served()[i].done_s == doctest::Approx(stepped.served()[i].done_s).epsilon(1e-9));
    }
  }
}

TEST_CASE("disaggregated: every prompt goes in once, every token comes out once") {
  const std::vector<Request> requests = drawn(400, 50, 300);
  double inputs = 0;
  for (const Request& r : requests) inputs += r.input - r.cached;
  for (const double cache : {0.0, 3000.0}) {
    Setup setup{.prefill = 2, .decode = 2};
    setup.limits.cache_tokens = cache;
    const Disaggregated engine = play(requests, setup);
    CHECK((engine.preemptions() > 0) == (cache > 0));
    CHECK(engine.tokens_out() == doctest::Approx(outputs(requests)));
    CHECK(engine.prompt_tokens() == doctest::Approx(inputs));  // recomputation is the decoders'
    double gaps = 0, gap_s = 0;
    for (const Weighted& g : engine.gaps()) {
      gaps += g.count;
      gap_s += g.count * g.value;
    }
    CHECK(gaps == doctest::Approx(outputs(requests) - 400));
    CHECK(gap_s == doctest::Approx(decode_s(engine.served())).epsilon(cache > 0 ? 0.01 : 1e-9));
  }
}

TEST_CASE(
    "disaggregated: with a free crossing the pool decodes as an engine does that only decodes") {
  // Prompts that cost nothing and cross in no time: all that is left is decoding.
  const Affine free{.floor_s = 0, .per_prompt_token_s = 0};
  const auto alone = [&](const std::vector<Request>& requests, const BatchingLimits& limits) {
    ContinuousBatching engine(limits, affine_costs({.per_prompt_token_s = 0}));
    for (const Request& r : requests) engine.arrive(r, r.arrival_s);
    for (std::size_t done = 0; done < requests.size();) done += engine.advance().size();
    return engine.served();
  };
  const Setup setup{
      .limits = {.sequences = 512, .step_tokens = 1e6}, .link = {}, .prefill_cost = free};
  SUBCASE("all at once: to the last digit") {
    const std::vector<Request> requests = drawn(100, 0);
    const Disaggregated pools = play(requests, setup);
    const std::vector<Served> engine = alone(requests, setup.limits);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      CHECK(pools.served()[i].done_s - pools.served()[i].first_token_s ==
            doctest::Approx(engine[i].done_s - engine[i].first_token_s).epsilon(1e-9));
    }
  }
  SUBCASE("at random: in the mean") {
    const std::vector<Request> requests = drawn(4000, 30);
    CHECK(decode_s(play(requests, setup).served()) ==
          doctest::Approx(decode_s(alone(requests, setup.limits))).epsilon(0.01));
  }
}

TEST_CASE("disaggregated: sequences in the pool are rate times time in it, users rate times life") {
  const std::vector<Request> requests = drawn(4000, 0);
  const Setup setup{.prefill = 2, .decode = 2, .link = {}, .users = 24};
  const Disaggregated engine = play(requests, setup);
  // A joining sequence waits for the step under way: less than one step of a few milliseconds.
  CHECK(engine.decode_sequence_seconds() ==
        doctest::Approx(decode_s(engine.served())).epsilon(0.03));
  CHECK(engine.decode_sequence_seconds() < decode_s(engine.served()));
  double life = 0;
  for (const Served& s : engine.served()) life += s.done_s - s.arrival_s;
  CHECK(life / engine.now() == doctest::Approx(24).epsilon(0.02));  // the drain is short
}

TEST_CASE(
    "disaggregated: prompts go where the fewest tokens wait, caches where the fewest decode") {
  const std::vector<Request> three{
      {.input = 900, .output = 1}, {.input = 300, .output = 1}, {.input = 400, .output = 1}};
  Setup setup{.prefill = 2};
  setup.limits.step_tokens = 900;
  const std::vector<Served> served = play(three, setup).served();
  CHECK(served[0].done_s == doctest::Approx(1e-3 + 900e-5));  // alone
  CHECK(served[1].done_s == doctest::Approx(1e-3 + 700e-5));  // both others on the second
  CHECK(served[2].done_s == doctest::Approx(1e-3 + 700e-5));
  // Equal answers on two decode instances: each decodes alone.
  const std::vector<Request> two{{.input = 100, .output = 50}, {.input = 100, .output = 50}};
  const std::vector<Served> apart = play(two, {.decode = 2, .link = {}}).served();
  double steps = 0;
  for (int i = 0; i < 49; ++i) steps += 1e-3 + 1e-4 + 1e-6 * (100 + i);
  for (const Served& s : apart) CHECK(s.done_s - s.first_token_s == doctest::Approx(steps));
}

TEST_CASE("disaggregated: caches queue for a channel and not for two") {
  const std::vector<Request> two{{.input = 200, .output = 2}, {.input = 200, .output = 2}};
  Setup setup;
  setup.link = {.s_per_token = 1e-3};
  const auto crossings = [&](std::size_t channels) {
    setup.link.channels = channels;
    return play(two, setup).transfers();
  };
  for (const std::size_t channels : {1U, 2U}) {
    const std::vector<double> s = crossings(channels);
    REQUIRE(s.size() == 2);
    CHECK(s[0] == doctest::Approx(0.2));
    CHECK(s[1] == doctest::Approx(channels > 1 ? 0.2 : 0.4));
  }
}

TEST_CASE("disaggregated: prompts may be held back, caches that have come are not") {
  const std::vector<Request> requests = drawn(300, 40);
  const Disaggregated plain = play(requests, {});
  Setup holding;
  holding.limits.hold = {.steps = 50, .share = 0.9};
  const Disaggregated held = play(requests, holding);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    CHECK(held.served()[i].done_s == plain.served()[i].done_s);
  }
}
