// Closed forms of serving: fixed batch, closed loop, open arrivals.
//
// A closed loop of users: closed_loop.hpp. Users beyond its slots wait in line. Open arrivals: the
// loop whose throughput is their rate, with prompts that come at any time and Kingman's queue.
#include "closed_loop.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace jevons::sim {
namespace {

double second_moment_over_mean(const Length& length) {
  switch (length.kind) {
    case Length::Kind::fixed: return length.mean;
    case Length::Kind::uniform: {
      const double width = length.high - length.low;
      return length.mean + width * width / 12 / length.mean;
    }
    case Length::Kind::lognormal: return length.mean * std::exp(length.sigma * length.sigma);
    case Length::Kind::empirical: {
      double sum = 0, squares = 0;
      for (const double x : length.samples) {
        sum += x;
        squares += x * x;
      }
      return sum > 0 ? squares / sum : length.mean;
    }
  }
  return length.mean;
}

/// Work per second and accelerator of an instance that serves `rate` requests a second.
StepWork work_rate(const Loop& loop, const MeanLengths& len, double gain, double rate) {
  const double steps =
      loop.batch > 0 ? rate * (len.output - 1) / gain / std::max(loop.batch, 1.0) : 0.0;
  StepWork work = loop.decode * steps;
  work += loop.prompt * rate;
  work.time_s = std::min(1.0, work.time_s);
  return work;
}

/// A decode step's time per token: experts, other kernels, the stack's overhead.
std::vector<Breakdown> parts_of(const StepWork& step, double gain) {
  // Overlap may hide more than there is besides.
  const double rest = std::max(0.0, step.time_s - step.experts_s - step.overhead_s);
  std::vector<Breakdown> parts;
  if (step.experts_s > 0) parts.push_back({"experts", step.experts_s / gain, "s", {}, {}});
  parts.push_back({"other_kernels", rest / gain, "s", {}, {}});
  parts.push_back({"stack_overhead", step.overhead_s / gain, "s", {}, {}});
  return parts;
}

void fill(ServeOutcome& out, const Loop& loop, const MeanLengths& len, double gain, double rate,
          double instances) {
  out.requests_per_s = rate * instances;
  out.input_per_s = out.requests_per_s * len.input;
  out.output_per_s = out.requests_per_s * len.output;
  out.mean_batch = loop.batch;
  out.tpot.mean = loop.tpot;
  out.itl.mean = loop.tpot * gain;
  out.ttft.mean = loop.ttft;
  out.step_time_s = loop.decode.time_s;
  out.work_per_s = work_rate(loop, len, gain, rate);
  if (len.output > 1) {
    // A gap is a plain step, or one that some prompt shares.
    out.itl.p50 = loop.decode.time_s;
    const double plain = loop.decode.time_s / gain;
    out.breakdown.push_back({"tpot_s",
                             loop.tpot,
                             "s",
                             {{"decode_step", plain, "s", parts_of(loop.decode, gain), {}},
                              {"prompts_of_others", loop.tpot - plain, "s", {}, {}}},
                             {}});
  }
}

/// Open arrivals at `rate` per instance: the loop whose throughput is the rate.
Loop open_loop(const Scenario& scenario, Instance& instance, const MeanLengths& len, double rate,
               double limit, bool& stable) {
  double low = 0, high = limit;
  Loop loop = closed_loop(scenario, instance.engine, len, limit);
  stable = loop.rate > rate;
  if (!stable) return loop;
  for (int i = 0; i < 50 && high - low > 1e-4 * high; ++i) {
    const double middle = (low + high) / 2;
    loop = closed_loop(scenario, instance.engine, len, std::max(middle, 1e-3));
    (loop.rate > rate ? high : low) = middle;
  }
  return loop;
}

ServeOutcome open_traffic(const Scenario& scenario, Instance& instance, const MeanLengths& len,
                          double limit) {
  const ServeSpec& spec = scenario.serve;
  ServeOutcome out;
  const double rate = spec.traffic.requests_per_s / spec.instances;
  bool stable = false;
  Loop loop = open_loop(scenario, instance, len, rate, limit, stable);
  loop.ttft = first_token_of_strangers(scenario, loop);
  if (!stable) {
    fill(out, loop, len, instance.engine.gain(), loop.rate, spec.instances);
    out.warnings.push_back({"overload",
                            "more requests arrive than can be served: the queue grows without end; "
                            "rates are those of the full engine, latencies leave the queue out",
                            "/serve/traffic/requests_per_s"});
  } else {
    fill(out, loop, len, instance.engine.gain(), rate, spec.instances);
    // Kingman: prompts queue for the engine; variability of arrivals cv, of service one half.
    const double cv2 =
        spec.traffic.kind == Traffic::Kind::gamma ? spec.traffic.cv * spec.traffic.cv : 1.0;
    const double load = std::min(0.99, rate * loop.inc);
    out.ttft.mean += load / (1 - load) * (cv2 + 0.5) / 2 * loop.inc;
  }
  out.e2e.mean = out.ttft.mean + std::max(len.output - 1, 0.0) * out.tpot.mean;
  return out;
}

/// Time to first token over the requests that are counted, `queue` the steady wait for a slot: the
/// i-th of those that start the run waits for the i before it.
void wait_in_run(const Scenario& scenario, Instance& instance, const MeanLengths& len,
                 const Loop& loop, double users, double queue, ServeOutcome& out) {
  const Traffic& traffic = scenario.serve.traffic;
  const double requests = traffic.requests / scenario.serve.instances;
  const double waves = requests / users;  // of all users
  if (waves < 1) return void(out.ttft.mean += queue);
  const double share = warm_up_share(traffic, requests, users), skipped = share * waves;
  const Run run{.waves = requests / loop.n, .skipped = share * requests / loop.n};
  const double cold = std::max(0.0, 1 - skipped);  // of the first wave
  const double waited = queue * (waves - skipped - cold * cold / 2) / (waves - skipped);
  out.ttft.mean = waited + first_token_over(run, scenario, instance.engine, len, loop);
  if (skipped > 0) {
    out.warnings.push_back({"warm_up",
                            fmt::format("times to first token leave out the first {:.0f} requests "
                                        "of each instance, with which the run starts at once",
                                        share * requests),
                            "/serve/traffic"});
  } else {
    out.warnings.push_back({"cold_start",
                            "times to first token are those of a run that starts cold with all "
                            "users at once, as benchmark harnesses report; rates are steady state",
                            "/serve/traffic/warm_up_requests"});
  }
}

}  // namespace

StepWork minus(const StepWork& a, const StepWork& b) {
  StepWork d = a;
  d += b * -1.0;
  return d;
}

MeanLengths mean_lengths(const ServeSpec& spec) {
  MeanLengths m;
  m.input = std::max(1.0, spec.input_tokens.mean);
  m.computed = std::max(1.0, m.input * (1 - spec.prefix_hit_rate));
  m.output = std::max(1.0, spec.output_tokens.mean);
  m.output_biased = std::max(1.0, second_moment_over_mean(spec.output_tokens));
  return m;
}

double sequence_limit(const ServeSpec& spec, const ServeMemory& memory, const MeanLengths& len) {
  double limit = spec.max_batch_sequences;
  if (memory.kv_capacity_tokens > 0) {
    limit = std::min(limit, memory.kv_capacity_tokens / len.context());
  }
  return std::max(1.0, limit);
}

ServeOutcome estimate_aggregated(const Scenario& scenario, Instance& instance) {
  const ServeSpec& spec = scenario.serve;
  const MeanLengths len = mean_lengths(spec);
  const double limit = sequence_limit(spec, instance.memory, len);
  const Traffic& traffic = spec.traffic;
  if (traffic.kind == Traffic::Kind::poisson || traffic.kind == Traffic::Kind::gamma) {
    return open_traffic(scenario, instance, len, limit);
  }
  const bool offline = traffic.kind == Traffic::Kind::offline;
  // No more are in flight than there are requests.
  const double in_flight =
      offline || (traffic.requests > 0 && traffic.requests < traffic.concurrency)
          ? traffic.requests
          : traffic.concurrency;
  const double users = std::max(1.0, in_flight / spec.instances);
  const double n = std::min(users, limit);
  const Loop loop = closed_loop(scenario, instance.engine, len, n);
  ServeOutcome out;
  fill(out, loop, len, instance.engine.gain(), loop.rate, spec.instances);
  const double later = std::max(len.output - 1, 0.0) * loop.tpot;
  if (offline) {
    // All wait at t = 0: request i starts when i of them have been let in.
    out.ttft.mean += std::max(0.0, (users - n) / loop.rate / 2) + n * loop.inc / 2;
  } else {
    const double queue = users / loop.rate - (loop.ttft + later);
    wait_in_run(scenario, instance, len, loop, users, queue, out);
  }
  out.e2e.mean = out.ttft.mean + later;
  return out;
}

ServeOutcome estimate_static(const Scenario& scenario, Instance& instance) {
  const ServeSpec& spec = scenario.serve;
  const MeanLengths len = mean_lengths(spec);
  const double batch = spec.traffic.batch / spec.instances;
  DecodeEngine& engine = instance.engine;
  ServeOutcome out;
  // Prompts first, as many as fit in a step.
  const double tokens = batch * len.computed;
  const double fitting = spec.chunked_prefill ? spec.max_batch_tokens / len.computed
                                              : packing(spec, len, spec.max_batch_tokens).most;
  const double steps = std::max(1.0, std::ceil(batch / fitting - 1e-9));
  StepWork prefill = engine.step({.prefill_tokens = tokens / steps,
                                  .prefill_sequences = std::max(1.0, batch / steps),
                                  .prefill_position = len.prefill_position()});
  prefill = prefill * steps;
  const double later = std::max(len.output - 1, 0.0);
  const auto decode_steps = static_cast<long>(std::llround(later / engine.gain()));
  StepWork decode;
  if (later > 0) decode = engine.run(batch, len.input + 1, std::max(1L, decode_steps));
  if (decode_steps > 0)
    decode = decode * (later / engine.gain() / static_cast<double>(decode_steps));
  out.ttft.mean = scenario.stack.at("serve_front_s") + prefill.time_s;
  out.tpot.mean = later > 0 ? decode.time_s / later : 0.0;
  out.itl.mean = out.tpot.mean * engine.gain();
  out.e2e.mean = out.ttft.mean + decode.time_s;
  out.requests_per_s = batch * spec.instances / out.e2e.mean;
  out.input_per_s = out.requests_per_s * len.input;
  out.output_per_s = out.requests_per_s * len.output;
  out.mean_batch = batch;
  out.step_time_s = out.itl.mean;
  prefill += decode;
  out.work_per_s = prefill * (1 / out.e2e.mean);
  out.work_per_s.time_s = std::min(1.0, out.work_per_s.time_s);
  return out;
}

double kv_transfer_time(const Scenario& scenario, const Instance& prefill, double tokens) {
  const double link = scenario.cluster.scale_out.raw() > 0 ? scenario.cluster.scale_out.raw()
                                                           : scenario.cluster.scale_up.raw();
  if (link <= 0) return 0;
  const double ranks =
      static_cast<double>(prefill.layout.parallelism.world()) / prefill.engine.model().data_ranks();
  return tokens * prefill.memory.kv_bytes_per_token / (link * std::max(1.0, ranks));
}

void set_pools(const ServeSpec& spec, ServeOutcome& out) {
  out.prefill_accelerators =
      spec.prefill->instances * static_cast<double>(spec.prefill->accelerators);
  out.decode_accelerators = spec.decode->instances * static_cast<double>(spec.decode->accelerators);
}

namespace {

/// What the pools and the link between them can do, and the requests in the deployment.
struct Pools {
  double prefill_rate = 0, link_rate = 0, decode_rate = 0;  ///< requests per second at most
  double most = 1;                                          ///< prompts of a full step
  StepWork full;                                            ///< such a step, chunks included
  double move_s = 0;                                        ///< of one cache
  double limit = 1;                                         ///< sequences of a decode instance
  double p = 1, d = 1;                                      ///< instances
  double later = 0;                                         ///< tokens after the first
  [[nodiscard]] double capacity() const { return std::min({prefill_rate, link_rate, decode_rate}); }
};

Pools pools_of(const Scenario& scenario, Instance& prefill, Instance& decode,
               const MeanLengths& len) {
  const ServeSpec& spec = scenario.serve;
  Pools s;
  s.p = spec.prefill->instances;
  s.d = spec.decode->instances;
  s.later = std::max(len.output - 1, 0.0);
  // Prefill steps are filled to the token budget when prompts wait.
  const Packing pack = packing(spec, len, spec.max_batch_tokens);
  s.most = pack.most;
  s.full = prompts_alone(prefill.engine, len, pack.most, pack.chunks);
  s.prefill_rate = s.p * s.most / s.full.time_s;
  s.move_s = kv_transfer_time(scenario, prefill, len.input);
  s.link_rate = s.p * prefill.engine.model().data_ranks() / std::max(s.move_s, 1e-12);
  s.limit = sequence_limit(spec, decode.memory, len);
  const StepWork step = decode.engine.step({.sequences = s.limit, .context = len.context()});
  s.decode_rate = s.d * s.limit * decode.engine.gain() / step.time_s / std::max(s.later, 1e-9);
  if (s.later <= 0) s.link_rate = s.decode_rate = std::numeric_limits<double>::infinity();
  return s;
}

/// A prompt takes a step, shared with those that arrive during one, and waits for the step under
/// way; when steps are full it queues (M/D/1).
double prefill_wait(const Pools& s, Instance& prefill, const MeanLengths& len, double rate) {
  const double each = rate / s.p;
  double together = 1, own = s.full.time_s;
  for (int pass = 0; pass < 4 && s.most > 1; ++pass) {
    own = prompts_alone(prefill.engine, len, together, 1).time_s;
    together = std::clamp(each * own, 1.0, s.most);
  }
  const double busy = std::min(1.0, each * own / together);
  const double load = std::min(rate / s.prefill_rate, 0.995);
  return own + busy * own / 2 / (1 - load);
}

}  // namespace

ServeOutcome estimate_disaggregated(const Scenario& scenario, Instance& prefill, Instance& decode) {
  const ServeSpec& spec = scenario.serve;
  const MeanLengths len = mean_lengths(spec);
  const Pools s = pools_of(scenario, prefill, decode, len);
  const Traffic& traffic = spec.traffic;
  const bool open = traffic.kind == Traffic::Kind::poisson || traffic.kind == Traffic::Kind::gamma;
  const double users =
      traffic.kind == Traffic::Kind::offline ? traffic.requests : traffic.concurrency;
  double rate = open ? std::min(traffic.requests_per_s, s.capacity()) : s.capacity();
  double batch = s.limit, ttft = 0, tpot = 0;
  StepWork step;
  for (int pass = 0; pass < 60; ++pass) {
    // A step serves one sequence at least: with fewer in the mean there are fewer steps.
    step = decode.engine.step({.sequences = std::max(batch, 1.0), .context = len.context()});
    tpot = step.time_s / decode.engine.gain();
    ttft = scenario.stack.at("serve_front_s") + prefill_wait(s, prefill, len, rate);
    if (!open) {
      const double round = ttft + s.move_s + s.later * tpot;
      rate = 0.5 * (rate + std::min(users / round, s.capacity()));
    }
    batch = std::min(s.limit, 0.5 * (batch + rate * s.later * tpot / s.d));
  }
  ServeOutcome out;
  out.requests_per_s = rate;
  out.input_per_s = rate * len.input;
  out.output_per_s = rate * len.output;
  out.mean_batch = batch;
  // The cache crosses between the first and the second token.
  const double decoding = s.later > 0 ? s.move_s + s.later * tpot : 0.0;
  out.tpot.mean = s.later > 0 ? decoding / s.later : 0.0;
  out.itl.mean = out.tpot.mean * decode.engine.gain();
  out.ttft.mean = open ? ttft : std::max(ttft, users / rate - decoding);
  out.e2e.mean = out.ttft.mean + decoding;
  out.step_time_s = step.time_s;
  set_pools(spec, out);
  out.work_per_s = step * (std::min(1.0, batch) / step.time_s);
  out.prefill_work_per_s = s.full * (rate / s.prefill_rate / s.full.time_s);
  return out;
}

}  // namespace jevons::sim
