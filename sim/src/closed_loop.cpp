#include "closed_loop.hpp"

#include <algorithm>
#include <cmath>

namespace jevons::sim {
namespace {

/// Mean over time of a Brownian bridge above its minimum so far, in standard deviations: played,
/// n arrivals strewn over n services wait 0.36 sqrt(n) services at n = 16, 0.42 at 64, 0.45 at 256.
constexpr double kBridge = 0.4;

/// After so many waves a crowd that has not dispersed is taken to have.
constexpr double kMostWaves = 1000;

/// How prompts come: so many a step, in groups that stay together (0) or at random (1).
struct Arrivals {
  double per_step = 0, random = 1;
};

struct PromptCost {
  double inc = 0, together = 1;  ///< seconds per prompt; prompts sharing a step
  double chunks = 1, room = 1;   ///< steps of a prompt; prompts that fill a step, or part of one
  double wait = 0;               ///< for the other ranks' prompts
  StepWork work;
};

/// Prompts that a stack collects: it holds them back, up to so many steps, until there are enough.
/// Under balanced attention data parallelism every one of R ranks needs one; a prompt goes where a
/// sequence has ended, so that all have one after R (1 + 1/2 + ... + 1/R).
struct Collected {
  double prompts = 1, wait = 0;
};
Collected collected(const Scenario& scenario, const DecodeEngine& engine, const MeanLengths& len,
                    double rate, const StepWork& decode) {
  const ServeSpec& spec = scenario.serve;
  double steps = scenario.stack.at("serve_batch_wait_steps"), enough = 0;
  if (spec.attention_dp) {
    steps = scenario.stack.at("serve_balance_wait_steps");
    const double ranks = engine.model().data_ranks();
    for (double k = 1; k <= ranks; ++k) enough += ranks / k;
  } else {
    enough = scenario.stack.at("serve_batch_wait_share") * spec.max_batch_tokens / len.computed;
  }
  enough = std::max(1.0, enough);
  if (steps <= 0 || rate <= 0) return {};
  // The first waits to the end, the others half of it on average.
  const double longest = steps * decode.time_s, during = rate * longest;
  if (1 + during >= enough) return {enough, (enough - 1) / (2 * rate)};
  return {1 + during, longest * (1 + during / 2) / (1 + during)};
}

/// Prompts that share a step of their own when `a` come in a step: a Poisson number, not zero.
double sharing(double a) {
  return a > 1e-6 ? a / -std::expm1(-a) : 1.0;
}

/// A step's budget takes part of a prompt.
bool cuts(const Scenario& scenario) {
  return scenario.serve.chunked_prefill && !scenario.stack.flag("serve_whole_prompts");
}

/// What one prompt adds to the steps it takes.
PromptCost prompt_cost(const Scenario& scenario, DecodeEngine& engine, const MeanLengths& len,
                       const Loop& loop, const Arrivals& arrivals) {
  const ServeSpec& spec = scenario.serve;
  const auto [least, held] = collected(scenario, engine, len, loop.rate, loop.decode);
  const double taken = spec.chunked_prefill ? loop.batch : 0.0;
  const double budget = std::max(1.0, spec.max_batch_tokens - taken);
  const auto [chunks, most] = packing(spec, len, budget);
  PromptCost cost;
  cost.chunks = chunks;
  cost.room = cuts(scenario) ? budget / len.computed : most;
  cost.wait = held;
  if (!spec.chunked_prefill) {
    cost.together = std::min(std::max(least, sharing(arrivals.per_step)), most);
    cost.work = prompts_alone(engine, len, cost.together, 1) * (1 / cost.together);
    cost.inc = cost.work.time_s;
    return cost;
  }
  const double shared = std::max({arrivals.per_step + arrivals.random, least, 1.0});
  const double m = chunks > 1 ? 1.0 : std::min({shared, most, std::max(1.0, loop.n)});
  const StepWork with = engine.step({.sequences = std::max(loop.batch, 1.0),
                                     .context = len.context(),
                                     .prefill_tokens = m * len.computed / chunks,
                                     .prefill_sequences = m,
                                     .prefill_position = len.prefill_position()});
  cost.together = m;
  cost.work = minus(with, loop.decode) * (chunks / m);
  cost.inc = std::max(0.0, cost.work.time_s);
  return cost;
}

/// Until the prompt's own step begins.
double wait_before(const ServeSpec& spec, const Loop& loop, const PromptCost& prompt,
                   const Arrivals& arrivals, double front) {
  const double short_s = loop.decode.time_s;
  const double own = prompt.inc / prompt.chunks * prompt.together;
  const double long_s = spec.chunked_prefill ? own + short_s : own;
  // Long steps begin with probability p; those that began since the last answer are met.
  const double others = arrivals.per_step * std::max(0.0, loop.n - 1) / loop.n;
  const double p = std::min(1.0, others * prompt.chunks / prompt.together);
  const double busy = p * long_s / (p * long_s + short_s);
  const double since = std::min(1.0, front / long_s);
  const double begun = front > 0 ? 1 - std::pow(1 - p, 1 + front / short_s) : 0.0;
  const double met = arrivals.random * ((1 - since) * begun + since * busy);
  const double under_way =
      met * long_s * (1 - since / 2) + (1 - met) * (front > 0 ? short_s / 2 : 0.0);
  // Groups that stay together follow each other at a step's distance: those that end while the
  // first one's next prompt is on its way wait behind it.
  const double lined = std::min(front / short_s, std::max(0.0, loop.n / prompt.together - 1) / 2) *
                       (1 - arrivals.random);
  const double c = prompt.room;
  const double rho = std::min(others / c, 1.0);
  const double most = kBridge * std::sqrt(loop.n) / c;
  const double steady = std::pow(rho, std::sqrt(2 * (std::max(c, 1.0) + 1)) - 1) / (2 * c);
  const double queue = steady * most / (steady + (1 - rho) * most);
  const double beyond = std::max(0.0, (1 / c - 1 / arrivals.per_step) * loop.n / 2);
  return under_way + (arrivals.random * queue + lined + beyond) * long_s;
}

double first_token(const Scenario& scenario, const Loop& loop, const PromptCost& prompt,
                   const Arrivals& arrivals) {
  const double front = scenario.stack.at("serve_front_s");
  return front + prompt.wait + prompt.inc * prompt.together +
         wait_before(scenario.serve, loop, prompt, arrivals, front) +
         (scenario.serve.chunked_prefill ? prompt.chunks * loop.decode.time_s : 0.0);
}

/// Requests of one token: a loop of prompts alone, as many in a step as the budget takes.
Loop prompts_only(const Scenario& scenario, DecodeEngine& engine, const MeanLengths& len,
                  double n) {
  const Packing pack = packing(scenario.serve, len, scenario.serve.max_batch_tokens);
  const double m = std::min(n, pack.most);
  const StepWork step = prompts_alone(engine, len, m, pack.chunks);
  Loop loop;
  loop.n = n;
  loop.prompt = step * (1 / m);
  loop.inc = loop.prompt.time_s;
  const double front = scenario.stack.at("serve_front_s");
  loop.ttft = std::max(front + step.time_s, n * loop.inc);
  loop.rate = n / loop.ttft;
  return loop;
}

/// n prompts at once, in full steps one after the other.
struct FirstWave {
  double steps = 1, mean_steps = 1;  ///< of all prompts; until a prompt's first token
  double step_s = 0;
};
FirstWave first_wave(const Scenario& scenario, DecodeEngine& engine, const MeanLengths& len,
                     double n) {
  const ServeSpec& spec = scenario.serve;
  const double taken = spec.chunked_prefill ? n / 2 : 0.0;
  const double budget = std::max(1.0, spec.max_batch_tokens - taken);
  const double room = cuts(scenario) ? budget / len.computed : packing(spec, len, budget).most;
  const double tokens = std::min(room, n) * len.computed;
  FirstWave wave;
  wave.steps = n / std::min(room, n);
  const auto prompts = static_cast<long>(std::ceil(n));
  double sum = 0;
  for (long i = 1; i <= prompts; ++i) sum += std::ceil(static_cast<double>(i) / room - 1e-9);
  wave.mean_steps = sum / static_cast<double>(prompts);
  wave.step_s = engine
                    .step({.sequences = taken,
                           .context = taken > 0 ? len.input : 0.0,
                           .prefill_tokens = tokens,
                           .prefill_sequences = std::max(1.0, tokens / len.computed),
                           .prefill_position = len.prefill_position()})
                    .time_s;
  return wave;
}

}  // namespace

Packing packing(const ServeSpec& spec, const MeanLengths& len, double budget) {
  return {
      .chunks = spec.chunked_prefill ? std::max(1.0, std::ceil(len.computed / budget - 1e-9)) : 1.0,
      .most = std::max(1.0, std::floor(budget / len.computed))};
}

StepWork prompts_alone(DecodeEngine& engine, const MeanLengths& len, double prompts,
                       double chunks) {
  return engine.step({.prefill_tokens = prompts * len.computed / chunks,
                      .prefill_sequences = prompts,
                      .prefill_position = len.prefill_position()}) *
         chunks;
}

Loop closed_loop(const Scenario& scenario, DecodeEngine& engine, const MeanLengths& len, double n) {
  const double later = len.output - 1;  // tokens after the first
  if (later <= 0) return prompts_only(scenario, engine, len, n);
  Loop loop;
  loop.n = n;
  double f = 1;
  for (int pass = 0; pass < 40; ++pass) {
    loop.batch = std::max(n * f, std::min(n, 0.05));
    // A step serves one sequence at least: with fewer in the mean there are fewer steps.
    loop.decode = engine.step({.sequences = std::max(loop.batch, 1.0), .context = len.context()});
    const Arrivals arrivals{.per_step = loop.batch * engine.gain() / std::max(later, 1.0)};
    const PromptCost prompt = prompt_cost(scenario, engine, len, loop, arrivals);
    loop.inc = prompt.inc;
    loop.prompt = prompt.work;
    loop.tpot = loop.decode.time_s / engine.gain() + (n - 1) * prompt.inc * f / later;
    loop.ttft = first_token(scenario, loop, prompt, arrivals);
    const double life = loop.ttft + later * loop.tpot;
    const double next = later * loop.tpot / life;
    const double rate = n / life;
    const bool settled = std::abs(next - f) < 1e-5 && std::abs(rate - loop.rate) < 1e-4 * rate;
    loop.rate = rate;
    f = 0.5 * (f + next);
    if (settled) break;
  }
  return loop;
}

double first_token_over(const Run& run, const Scenario& scenario, DecodeEngine& engine,
                        const MeanLengths& len, const Loop& loop) {
  const double n = loop.n, later = len.output - 1;
  if (later <= 0) return loop.ttft;
  const FirstWave first = first_wave(scenario, engine, len, n);
  // What is counted of a wave, the first being 0.
  const auto counted = [&](double wave) {
    return std::clamp(std::min(wave + 1, run.waves) - std::max(wave, run.skipped), 0.0, 1.0);
  };
  double sum = counted(0) * (scenario.stack.at("serve_front_s") + first.mean_steps * first.step_s);
  double crowd = first.steps;  // from the first to the last prompt of a wave
  const double life = later / engine.gain();
  const double spread =
      std::sqrt(12 * len.output * (len.output_biased - len.output)) / engine.gain();
  double wave = 1;
  for (; wave < std::min(run.waves, kMostWaves); ++wave) {
    crowd = std::hypot(crowd, spread);
    if (crowd >= life) break;
    // Those that began in one step end together when their lengths differ by less than a step.
    const double apart = spread * std::sqrt(wave);
    const Arrivals arrivals{.per_step = n / crowd, .random = apart / (1 + apart)};
    const PromptCost prompt = prompt_cost(scenario, engine, len, loop, arrivals);
    sum += counted(wave) * first_token(scenario, loop, prompt, arrivals);
    crowd = std::max(crowd, n / prompt.room);
  }
  const double steady = std::max(0.0, run.waves - std::max(wave, run.skipped));
  return (sum + steady * loop.ttft) / (run.waves - run.skipped);
}

double first_token_of_strangers(const Scenario& scenario, const Loop& loop) {
  const double step = loop.inc + loop.decode.time_s;
  const double busy = std::min(1.0, loop.rate * loop.inc);
  return scenario.stack.at("serve_front_s") + step +
         ((1 - busy) * loop.decode.time_s + busy * step) / 2;
}

}  // namespace jevons::sim
