// What the serving models share: lengths, one instance's engine, what came out. Private to sim.
#pragma once

#include "jevons/sim/result.hpp"
#include "jevons/sim/serve_memory.hpp"
#include "jevons/sim/speculation.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace jevons::sim {

/// Means that a closed form needs.
struct MeanLengths {
  double input = 0;          ///< tokens of a prompt, cached ones included
  double computed = 0;       ///< of those, tokens to compute (at least one)
  double output = 0;         ///< at least one
  double output_biased = 0;  ///< E[O²]/E[O]: output length of the requests found in flight
  [[nodiscard]] double context() const { return input + output_biased / 2; }
  [[nodiscard]] double prefill_position() const { return input - computed / 2; }
};
[[nodiscard]] MeanLengths mean_lengths(const ServeSpec& spec);

struct Statistic {
  double mean = 0;
  std::optional<double> p50, p90, p99;  ///< a closed form knows means only
};

/// Rates are of the whole deployment, work is per accelerator and second.
struct ServeOutcome {
  double requests_per_s = 0, input_per_s = 0, output_per_s = 0;
  std::optional<double> goodput_per_s;
  double mean_batch = 0;  ///< sequences decoding in one instance
  Statistic ttft, tpot, itl, e2e;
  StepWork work_per_s;  ///< time_s: busy fraction
  // disaggregated
  double prefill_accelerators = 0, decode_accelerators = 0;
  StepWork prefill_work_per_s;
  double step_time_s = 0;
  std::vector<Warning> warnings;
  std::vector<Breakdown> breakdown;
};

[[nodiscard]] StepWork minus(const StepWork& a, const StepWork& b);

/// One instance ready to run.
struct Instance {
  StepLayout layout;
  DecodeEngine engine;
  ServeMemory memory;
  Instance(const Scenario& scenario, const workloads::Parallelism& parallelism);
};

/// Sequences one instance can hold: max_batch_sequences and the KV room.
[[nodiscard]] double sequence_limit(const ServeSpec& spec, const ServeMemory& memory,
                                    const MeanLengths& lengths);

/// Time in which the cache of so many tokens of a sequence crosses from a prefill to a decode
/// instance: the ranks that hold it send at once, each over its own scale-out port.
[[nodiscard]] double kv_transfer_time(const Scenario& scenario, const Instance& prefill,
                                      double tokens);

/// The accelerators of the two pools.
void set_pools(const ServeSpec& spec, ServeOutcome& out);

/// Share of a run of so many requests that is cut off its front: what the traffic says, else a
/// closed loop's as many as its users, a tenth of other traffic, nothing of runs of fewer than
/// three times that and of offline ones.
[[nodiscard]] double warm_up_share(const Traffic& traffic, double requests, double users);
[[nodiscard]] Warning warm_up_warning(double cut, std::string_view of);

/// The stack holds prompts back (PromptHold).
[[nodiscard]] bool holds_prompts(const Scenario& scenario);

/// A prompt longer than the step budget was run whole (no chunked prefill).
[[nodiscard]] Warning oversized_warning(const ServeSpec& spec, double prompts);

[[nodiscard]] ServeOutcome estimate_static(const Scenario& scenario, Instance& instance);
/// Closed, offline, Poisson and gamma traffic in closed form.
[[nodiscard]] ServeOutcome estimate_aggregated(const Scenario& scenario, Instance& instance);
[[nodiscard]] ServeOutcome estimate_disaggregated(const Scenario& scenario, Instance& prefill,
                                                  Instance& decode);

/// The same request by request, and traces.
[[nodiscard]] ServeOutcome simulate_static(const Scenario& scenario, Instance& instance);
[[nodiscard]] ServeOutcome simulate_aggregated(const Scenario& scenario, Instance& instance);
[[nodiscard]] ServeOutcome simulate_disaggregated(const Scenario& scenario, Instance& prefill,
                                                  Instance& decode);

void write_serve_metrics(const Scenario& scenario, const ServeOutcome& outcome,
                         const ServeMemory& memory, double gain, double activity_scale,
                         Result& result);

}  // namespace jevons::sim
