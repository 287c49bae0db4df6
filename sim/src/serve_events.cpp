// Serving at event level: the scenario's requests through ContinuousBatching engines.
//
// Replicas behind a balancer: statistical traffic is the same for each, so one is played with its
// share; a trace goes round-robin and every replica is played. Closed loop: a user sends the next
// request when the last one is answered. Warm-up: as many requests as users are cut off the front
// of a closed loop (a tenth of open traffic), and the drain after the last arrival is left out of
// the rates; runs too short for that are counted whole, and the result says so.
#include "serve_parts.hpp"

#include "jevons/sim/continuous_batching.hpp"
#include "jevons/sim/statistics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace jevons::sim {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kDefaultRequests = 1000;

Statistic statistic(std::vector<double> values) {
  Statistic s;
  if (values.empty()) return s;
  s.mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  s.p50 = quantile(values, 0.5);
  s.p90 = quantile(values, 0.9);
  s.p99 = quantile(values, 0.99);
  return s;
}

Statistic gap_statistic(std::vector<Weighted> gaps) {
  Statistic s;
  double count = 0, sum = 0;
  for (const Weighted& g : gaps) {
    count += g.count;
    sum += g.count * g.value;
  }
  if (count <= 0) return s;
  s.mean = sum / count;
  s.p50 = quantile(gaps, 0.5);
  s.p90 = quantile(gaps, 0.9);
  s.p99 = quantile(gaps, 0.99);
  return s;
}

BatchingLimits limits_of(const ServeSpec& spec, const Instance& instance) {
  BatchingLimits limits;
  limits.sequences = spec.max_batch_sequences;
  limits.step_tokens = spec.max_batch_tokens;
  limits.cache_tokens = instance.memory.kv_capacity_tokens;
  limits.chunked_prefill = spec.chunked_prefill;
  limits.tokens_per_step = instance.engine.gain();
  if (spec.speculation) {
    limits.query_tokens = 1 + static_cast<double>(spec.speculation->tokens);
  }
  return limits;
}

/// Output tokens counted at two moments give a rate.
struct Window {
  double from_s = 0, to_s = 0;
  double tokens_at_from = 0, tokens_at_to = 0, done_at_from = 0, done_at_to = 0;
};

struct Played {
  std::vector<Request> requests;
  std::vector<Served> served;
  std::vector<Weighted> gaps;
  Window window;
  std::size_t cut = 0;  ///< requests of the warm-up
  StepWork work;
  double elapsed_s = 0, sequence_seconds = 0, preemptions = 0;
};

Played play(const Scenario& scenario, Instance& instance, std::vector<Request> requests,
            double users) {
  const bool closed = scenario.serve.traffic.kind == Traffic::Kind::closed;
  const double front = scenario.stack.at("serve_front_s");
  Played out;
  out.requests = std::move(requests);
  const std::size_t n = out.requests.size();
  DecodeEngine& engine = instance.engine;
  ContinuousBatching batching(out.requests, limits_of(scenario.serve, instance),
                              {[&](const StepBatch& b) { return engine.step(b); },
                               [&](double b, double c, long k) { return engine.run(b, c, k); }});
  std::size_t sent = 0;
  const auto in_flight = static_cast<std::size_t>(users);
  const std::size_t at_once = closed ? std::min(n, in_flight) : n;
  for (; sent < at_once; ++sent) batching.arrive(sent, out.requests[sent].arrival_s + front);
  const std::size_t warm = closed ? in_flight : n / 10;
  const bool offline = scenario.serve.traffic.kind == Traffic::Kind::offline;
  out.cut = offline || n < 3 * warm ? 0 : warm;
  Window& w = out.window;
  std::size_t done = 0;
  bool open = out.cut == 0, shut = false;
  while (done < n) {
    for (const std::size_t i : batching.advance(kNever)) {
      (void)i;
      ++done;
      if (closed && sent < n) batching.arrive(sent++, batching.now() + front);
    }
    const auto mark = [&](double& at, double& tokens, double& finished) {
      at = batching.now();
      tokens = batching.tokens_out();
      finished = static_cast<double>(done);
    };
    if (!open && done >= out.cut) {
      mark(w.from_s, w.tokens_at_from, w.done_at_from);
      open = true;
    }
    // The drain begins when no request is left to take the place of one that is done.
    const bool draining = closed ? sent == n : batching.now() >= out.requests.back().arrival_s;
    if (open && !shut && out.cut > 0 && draining) {
      mark(w.to_s, w.tokens_at_to, w.done_at_to);
      shut = true;
    }
    if (done == n && !shut) mark(w.to_s, w.tokens_at_to, w.done_at_to);
  }
  out.served = batching.served();
  for (Served& s : out.served) s.arrival_s -= front;
  out.gaps = batching.gaps();
  out.work = batching.work();
  out.elapsed_s = batching.now();
  out.sequence_seconds = batching.decode_sequence_seconds();
  out.preemptions = batching.preemptions();
  return out;
}

/// Latencies and rates of one or more replicas that were played.
void summarise(const ServeSpec& spec, const std::vector<Played>& played, double replicas,
               ServeOutcome& out) {
  std::vector<double> ttft, tpot, e2e;
  std::vector<Weighted> gaps;
  double inputs = 0, outputs = 0, inside = 0, elapsed = 0, sequence_seconds = 0, preempted = 0;
  const double scale = replicas / static_cast<double>(played.size());
  for (const Played& p : played) {
    for (std::size_t i = p.cut; i < p.served.size(); ++i) {
      const Served& s = p.served[i];
      const double later = p.requests[i].output - 1;
      const double first = s.first_token_s - s.arrival_s;
      const double each = later > 0 ? (s.done_s - s.first_token_s) / later : 0.0;
      ttft.push_back(first);
      if (later > 0) tpot.push_back(each);
      e2e.push_back(s.done_s - s.arrival_s);
      inputs += p.requests[i].input;
      outputs += p.requests[i].output;
      inside += (!spec.slo_ttft_s || first <= *spec.slo_ttft_s) &&
                        (!spec.slo_tpot_s || each <= *spec.slo_tpot_s)
                    ? 1
                    : 0;
    }
    const Window& w = p.window;
    const double span = std::max(w.to_s - w.from_s, 1e-12);
    out.output_per_s += scale * (w.tokens_at_to - w.tokens_at_from) / span;
    out.work_per_s +=
        p.work * (1 / std::max(p.elapsed_s, 1e-12) / static_cast<double>(played.size()));
    gaps.insert(gaps.end(), p.gaps.begin(), p.gaps.end());
    elapsed += p.elapsed_s;
    sequence_seconds += p.sequence_seconds;
    preempted += p.preemptions;
  }
  const auto n = static_cast<double>(e2e.size());
  out.requests_per_s = out.output_per_s / std::max(outputs / n, 1.0);
  out.input_per_s = out.requests_per_s * inputs / n;
  out.goodput_per_s = out.requests_per_s * inside / n;
  out.mean_batch = sequence_seconds / std::max(elapsed, 1e-12);
  out.ttft = statistic(std::move(ttft));
  out.tpot = statistic(std::move(tpot));
  out.e2e = statistic(std::move(e2e));
  out.itl = gap_statistic(std::move(gaps));
  out.step_time_s = out.itl.p50.value_or(0);
  if (preempted > 0) {
    out.warnings.push_back({"preemption",
                            fmt::format("{:.0f} times a sequence lost its cache and was computed "
                                        "again: the KV cache is too small for this load",
                                        preempted),
                            "/serve/max_batch_sequences"});
  }
}

/// Round robin over the replicas.
std::vector<std::vector<Request>> deal(const std::vector<Request>& requests, std::size_t replicas) {
  std::vector<std::vector<Request>> hands(replicas);
  for (std::size_t i = 0; i < requests.size(); ++i) hands[i % replicas].push_back(requests[i]);
  std::erase_if(hands, [](const auto& hand) { return hand.empty(); });
  return hands;
}

}  // namespace

ServeOutcome simulate_aggregated(const Scenario& scenario, Instance& instance) {
  const ServeSpec& spec = scenario.serve;
  const Traffic& traffic = spec.traffic;
  ServeOutcome out;
  std::vector<Played> played;
  if (traffic.kind == Traffic::Kind::trace) {
    const auto replicas = static_cast<std::size_t>(spec.instances);
    for (auto& hand : deal(read_trace(traffic.file), replicas)) {
      played.push_back(play(scenario, instance, std::move(hand), 0));
    }
  } else {
    const double users = std::max(1.0, std::round(traffic.concurrency / spec.instances));
    double count = traffic.requests > 0 ? traffic.requests : kDefaultRequests;
    count = std::max(1.0, std::round(count / spec.instances));
    played.push_back(play(scenario, instance,
                          draw_requests(spec, static_cast<std::size_t>(count), scenario.seed),
                          users));
  }
  summarise(spec, played, spec.instances, out);
  const std::size_t cut = played.front().cut;
  out.warnings.push_back(
      {"warm_up",
       cut > 0 ? fmt::format("the first {} requests of each instance are cut off as warm-up, the "
                             "drain at the end is left out of the rates",
                             cut)
               : "nothing is cut off as warm-up: the run is offline or shorter than three waves",
       "/serve/traffic"});
  return out;
}

}  // namespace jevons::sim
