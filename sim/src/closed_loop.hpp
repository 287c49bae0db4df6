// A closed loop of users on one engine instance, in closed form. Private to sim.
//
// n users in service (every other one waits for a slot), prompts of I and answers of O tokens:
//   t_dec = T(B, C, no prompt)        C = I + E[O²]/(2 E[O])
//   m     = prompts that share a step,  inc = chunks (T(B, C, m prompts) − t_dec) / m
//   f     = share of a request's life in service spent decoding,  B = n f
//   TPOT  = t_dec / gain + (n − 1) inc f / (O − 1)
//   TTFT  = t_front + inc m + chunks t_dec + wait
//   E2E   = TTFT + (O − 1) TPOT,  X = n / E2E                                       (fixed point)
// Source: operators-communication-engines 3.3, which has m = 1; its event simulation agrees to
// -0.8 % median, 2.9 % P90.
//
// wait: an answer ends with a step, and its user's next prompt comes t_front later. A step gives
// every sequence one token, however long it takes: prompts come evenly over steps, not over time,
// and a step that holds prompts of others is met as seldom as there are such steps. With a prompts
// a step and room for c of them, rho = a / c:
//   prompts that share the step: 1 + a, at most c
//   queue: rho / (2 (1 - rho)) steps at c = 1 (one is served a step), rho^(sqrt(2 (c + 1)) - 1)
//   / (2 c (1 - rho)) beyond (after Sakasegawa, 1977, for many servers); at most what n prompts
//   can queue: 0.4 sqrt(n) / c steps at rho = 1 (a reflected Brownian bridge), n/2 (1/c - 1/a) more
//   beyond.
//
// A run that starts cold with n prompts at once: the first wave takes n / c steps, and the answers
// end as far apart as they began and as their lengths differ, so that the prompts of wave j come
// within K_j steps, K_j² = K_(j-1)² + 12 Var(O) / gain², a = n / K_j, until K_j is a whole life.
// The mean over the waves agrees with the events of such a run, row by row, within 3 % median
// (tests/unit/sim/closed_loop_test.cpp).
//
// Stacks that hold prompts back collect them: m no less than min(enough, 1 + X N t_dec), N the
// steps a prompt may be held back, enough a share of the token budget or, under attention data
// parallelism on R ranks, R (1 + 1/2 + ... + 1/R): the first of them waits to the end, the others
// half of that on average. Queues of single ranks are left out; events have them.
//
// Without chunked prefill prompts run whole and alone while decoding waits: inc is a step of m
// prompts / m with m = a / (1 - e^-a), and a request's own step takes no t_dec.
#pragma once

#include "serve_parts.hpp"

namespace jevons::sim {

/// A loop of n requests in service on one instance.
struct Loop {
  double n = 1;
  double rate = 0;  ///< requests per second
  double tpot = 0;
  double ttft = 0;  ///< without queue for a slot and cold start
  double batch = 0;
  double inc = 0;   ///< time a prompt adds to everyone
  StepWork decode;  ///< one step
  StepWork prompt;  ///< what one prompt adds
};

/// Steps one prompt is cut into when each has room for `budget` tokens, and whole prompts of one.
struct Packing {
  double chunks = 1, most = 1;
};
[[nodiscard]] Packing packing(const ServeSpec& spec, const MeanLengths& len, double budget);

/// Steps in which `prompts` run with nothing else, a prompt's chunks one after the other.
[[nodiscard]] StepWork prompts_alone(DecodeEngine& engine, const MeanLengths& len, double prompts,
                                     double chunks);

[[nodiscard]] Loop closed_loop(const Scenario& scenario, DecodeEngine& engine,
                               const MeanLengths& len, double n);

/// A run of so many waves of loop.n requests that starts with all of them at once; the first
/// `skipped` waves are not counted.
struct Run {
  double waves = 1, skipped = 0;
};
/// Mean time to first token over the run.
[[nodiscard]] double first_token_over(const Run& run, const Scenario& scenario,
                                      DecodeEngine& engine, const MeanLengths& len,
                                      const Loop& loop);

/// The loop's time to first token when prompts come from outside, evenly over time, and none waits
/// for another: half of the step under way instead of the loop's own wait.
[[nodiscard]] double first_token_of_strangers(const Scenario& scenario, const Loop& loop);

}  // namespace jevons::sim
