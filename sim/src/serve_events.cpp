// Serving at event level: the scenario's requests through engines played step by step.
//
// Aggregated: replicas behind a balancer; statistical traffic is the same for each, so one is
// played with its share; a trace goes round-robin and every replica is played. Disaggregated: every
// instance of both pools (disaggregated.hpp). A fixed batch goes round-robin over the instances
// (fixed_batch.hpp). Closed loop: a user sends the next request when the last one is answered.
// Warm-up: as many requests as users are cut off the front of a closed loop (a tenth of open
// traffic) unless the scenario says how many, and the drain after the last arrival is left out of
// the rates; runs too short for that are counted whole, and the result says so.
#include "serve_played.hpp"

#include "jevons/sim/disaggregated.hpp"
#include "jevons/sim/fixed_batch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string_view>
#include <utility>

namespace jevons::sim {
namespace {

constexpr double kDefaultRequests = 1000;

PromptHold hold_of(const Scenario& scenario, const Instance& instance) {
  const auto steps = [&](const char* name) { return static_cast<long>(scenario.stack.at(name)); };
  PromptHold hold;
  hold.steps = steps("serve_batch_wait_steps");
  hold.share = scenario.stack.at("serve_batch_wait_share");
  if (scenario.serve.attention_dp) {
    hold.balance_steps = steps("serve_balance_wait_steps");
    hold.ranks = static_cast<std::size_t>(instance.engine.model().data_ranks());
  }
  return hold;
}

BatchingLimits limits_of(const Scenario& scenario, const Instance& instance) {
  const ServeSpec& spec = scenario.serve;
  BatchingLimits limits;
  limits.sequences = spec.max_batch_sequences;
  limits.step_tokens = spec.max_batch_tokens;
  limits.cache_tokens = instance.memory.kv_capacity_tokens;
  limits.chunked_prefill = spec.chunked_prefill;
  limits.block_tokens = scenario.stack.at("serve_kv_block_tokens");
  limits.whole_prompts = scenario.stack.flag("serve_whole_prompts");
  limits.hold = hold_of(scenario, instance);
  if (spec.preemption == Preemption::swap) {
    limits.swap_tokens_per_s = hwmodels::host_link(scenario.cluster.accelerator).raw() /
                               instance.memory.rank_bytes_per_token;
  }
  limits.tokens_per_step = instance.engine.gain();
  if (spec.speculation) {
    limits.query_tokens = 1 + static_cast<double>(spec.speculation->tokens);
  }
  return limits;
}

StepCosts costs_of(DecodeEngine& engine) {
  return {[&engine](const StepBatch& b) { return engine.step(b); },
          [&engine](double b, double c, long k) { return engine.run(b, c, k); }};
}

Mark mark_of(const ContinuousBatching& engine) {
  return {engine.now(), engine.tokens_out(), engine.decode_sequence_seconds(), engine.work(), {}};
}

Mark mark_of(const Disaggregated& engine) {
  return {engine.now(), engine.tokens_out(), engine.decode_sequence_seconds(), engine.decode_work(),
          engine.prefill_work()};
}

/// Plays the requests through a ContinuousBatching or Disaggregated engine.
template <class Engine>
Played replay(const Scenario& scenario, Engine& engine, std::vector<Request> requests,
              double users) {
  const Traffic& traffic = scenario.serve.traffic;
  const bool closed = traffic.kind == Traffic::Kind::closed;
  const double front = scenario.stack.at("serve_front_s");
  Played out;
  out.requests = std::move(requests);
  const std::size_t n = out.requests.size();
  const auto in_flight = static_cast<std::size_t>(users);
  std::size_t sent = 0, done = 0;
  const std::size_t at_once = closed ? std::min(n, in_flight) : n;
  for (; sent < at_once; ++sent) {
    engine.arrive(out.requests[sent], out.requests[sent].arrival_s + front);
  }
  out.cut = static_cast<std::size_t>(
      std::round(warm_up_share(traffic, static_cast<double>(n), users) * static_cast<double>(n)));
  bool open = out.cut == 0, shut = false;
  while (done < n) {
    const std::size_t completed = engine.advance().size();
    done += completed;
    for (std::size_t i = 0; i < completed && closed && sent < n; ++i) {
      engine.arrive(out.requests[sent++], engine.now() + front);
    }
    if (!open && done >= out.cut) {
      out.from = mark_of(engine);
      open = true;
    }
    // The drain begins when no request is left to take the place of one that is done.
    const bool draining =
        out.cut > 0 && (closed ? sent == n : engine.now() >= out.requests.back().arrival_s);
    if (!shut && open && (draining || done == n)) {
      out.to = mark_of(engine);
      shut = true;
    }
  }
  out.served = engine.served();
  for (Served& s : out.served) s.arrival_s -= front;
  out.gaps = engine.gaps();
  out.preemptions = engine.preemptions();
  out.oversized_prompts = engine.oversized_prompts();
  return out;
}

Played play(const Scenario& scenario, Instance& instance, std::vector<Request> requests,
            double users) {
  ContinuousBatching engine(limits_of(scenario, instance), costs_of(instance.engine));
  return replay(scenario, engine, std::move(requests), users);
}

/// Requests of the traffic that falls to one of `shares`.
std::vector<Request> traffic_requests(const Scenario& scenario, double shares) {
  const Traffic& traffic = scenario.serve.traffic;
  if (traffic.kind == Traffic::Kind::trace) return read_trace(traffic.file);
  const double all = traffic.requests > 0 ? traffic.requests : kDefaultRequests;
  const double count = std::max(1.0, std::round(all / shares));
  return draw_requests(scenario.serve, static_cast<std::size_t>(count), scenario.seed);
}

double users_of(const Traffic& traffic, double shares) {
  if (traffic.kind != Traffic::Kind::closed) return 0;
  return std::max(1.0, std::round(traffic.concurrency / shares));
}

/// Round robin over the replicas.
std::vector<std::vector<Request>> deal(const std::vector<Request>& requests, std::size_t replicas) {
  std::vector<std::vector<Request>> hands(std::min(replicas, requests.size()));
  for (std::size_t i = 0; i < requests.size(); ++i) {
    hands[i % hands.size()].push_back(requests[i]);
  }
  return hands;
}

double mean(const std::vector<double>& values) {
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return values.empty() ? 0.0 : sum / static_cast<double>(values.size());
}

}  // namespace

bool holds_prompts(const Scenario& scenario) {
  return scenario.stack.at("serve_batch_wait_steps") > 0 ||
         (scenario.serve.attention_dp && scenario.stack.at("serve_balance_wait_steps") > 0);
}

ServeOutcome simulate_aggregated(const Scenario& scenario, Instance& instance) {
  const ServeSpec& spec = scenario.serve;
  ServeOutcome out;
  std::vector<Played> played;
  if (spec.traffic.kind == Traffic::Kind::trace) {
    const auto replicas = static_cast<std::size_t>(spec.instances);
    for (auto& hand : deal(traffic_requests(scenario, 1), replicas)) {
      played.push_back(play(scenario, instance, std::move(hand), 0));
    }
  } else {
    played.push_back(play(scenario, instance, traffic_requests(scenario, spec.instances),
                          users_of(spec.traffic, spec.instances)));
  }
  summarise(spec, played, spec.instances, out);
  out.warnings.push_back(warm_up_warning(static_cast<double>(played.front().cut), "each instance"));
  return out;
}

ServeOutcome simulate_disaggregated(const Scenario& scenario, Instance& prefill, Instance& decode) {
  const ServeSpec& spec = scenario.serve;
  const auto pool = [&](const Pool& from, Instance& instance) -> EnginePool {
    return {static_cast<std::size_t>(from.instances), limits_of(scenario, instance),
            costs_of(instance.engine)};
  };
  Disaggregated engine(pool(*spec.prefill, prefill), pool(*spec.decode, decode),
                       {.s_per_token = kv_transfer_time(scenario, prefill, 1),
                        .channels = static_cast<std::size_t>(prefill.engine.model().data_ranks())});
  Played played =
      replay(scenario, engine, traffic_requests(scenario, 1), users_of(spec.traffic, 1));
  played.instances = spec.decode->instances;
  ServeOutcome out;
  out.prefill_work_per_s = minus(played.to.prefill_work, played.from.prefill_work) *
                           (1 / played.span_s() / spec.prefill->instances);
  const std::size_t cut = played.cut;
  std::vector<Played> all;
  all.push_back(std::move(played));
  summarise(spec, all, 1, out);
  set_pools(spec, out);
  out.breakdown.push_back({"kv_transfer_s", mean(engine.transfers()), "s", {}, {}});
  out.warnings.push_back(warm_up_warning(static_cast<double>(cut), "the deployment"));
  return out;
}

ServeOutcome simulate_static(const Scenario& scenario, Instance& instance) {
  const ServeSpec& spec = scenario.serve;
  const double front = scenario.stack.at("serve_front_s");
  const auto batch = static_cast<std::size_t>(std::max(1.0, std::round(spec.traffic.batch)));
  ServeOutcome out;
  std::vector<Played> played;
  double decode_s = 0, sequence_seconds = 0;
  for (auto& hand :
       deal(draw_requests(spec, batch, scenario.seed), static_cast<std::size_t>(spec.instances))) {
    FixedBatch run =
        play_fixed_batch(hand, limits_of(scenario, instance), costs_of(instance.engine));
    Played p;
    p.to = {front + run.end_s, 0, run.sequence_seconds, run.work, {}};
    for (const Request& r : hand) p.to.tokens += r.output;
    for (Served& s : run.served) s.arrival_s = -front;
    p.requests = std::move(hand);
    p.served = std::move(run.served);
    p.gaps = std::move(run.gaps);
    p.oversized_prompts = run.oversized_prompts;
    decode_s += run.decode_s;
    sequence_seconds += run.sequence_seconds;
    played.push_back(std::move(p));
  }
  const auto busy = static_cast<double>(played.size());
  summarise(spec, played, busy, out);
  out.work_per_s = out.work_per_s * (busy / spec.instances);
  // While it decodes; prompts are no part of the batch that a step serves.
  out.mean_batch = decode_s > 0 ? sequence_seconds / decode_s : static_cast<double>(batch) / busy;
  return out;
}

}  // namespace jevons::sim
