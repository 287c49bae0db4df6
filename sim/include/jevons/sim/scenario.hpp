// A resolved scenario (contract section 1): everything named, nothing left to look up.
#pragma once

#include "jevons/core/precision.hpp"
#include "jevons/core/provenance.hpp"
#include "jevons/hwmodels/cluster.hpp"
#include "jevons/hwmodels/price.hpp"
#include "jevons/hwmodels/stack.hpp"
#include "jevons/workloads/model.hpp"
#include "jevons/workloads/operators.hpp"
#include "jevons/workloads/parallelism.hpp"

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace jevons::sim {

enum class Task { train, serve, op };
enum class Schedule { gpipe, one_f_one_b, interleaved, zb_h1, dualpipe };
enum class Recompute { none, selective, full, modules };
enum class Optimizer { adamw, muon, sgd };

struct Overlap {
  std::optional<bool> tp, dp, pp, ep;  ///< empty: what the stack profile says
};

struct Failures {
  double mtbf_accelerator_hours = 0;
  double restart_s = 0;
  std::optional<double> checkpoint_interval_s;  ///< empty: the Young/Daly optimum
};

struct TrainSpec {
  double sequence_length = 4096;
  double global_batch_sequences = 1;
  double micro_batch_sequences = 1;
  Schedule schedule = Schedule::one_f_one_b;
  Recompute recompute = Recompute::none;
  std::vector<std::string> recompute_modules;
  std::optional<long> recompute_layers;
  long offload_layers = 0;
  Optimizer optimizer = Optimizer::adamw;
  std::optional<double> tokens;
  bool mtp = false;
  bool causal = true;
  double expert_load_max_over_mean = 1.0;
  Overlap overlap;
  std::optional<Failures> failures;
};

/// Token counts of requests.
struct Length {
  enum class Kind { fixed, lognormal, uniform, empirical } kind = Kind::fixed;
  double mean = 0;   ///< of every kind
  double sigma = 0;  ///< lognormal: of the logarithm
  double low = 0, high = 0;
  std::vector<double> samples{};
};

struct Traffic {
  enum class Kind { closed, poisson, gamma, trace, offline, static_batch } kind = Kind::closed;
  double concurrency = 1;
  double requests = 0;
  /// Left out of every figure that events give; zero: the run is counted whole, start and drain.
  std::optional<double> warm_up_requests{};
  double requests_per_s = 0, cv = 1;
  double batch = 1;
  std::string file{};
};

struct Speculation {
  enum class Method { mtp, draft, ngram } method = Method::mtp;
  long tokens = 1;
  std::vector<double> acceptance{};  ///< one per position
  std::optional<workloads::ModelConfig> draft_model;
};

struct Pool {
  double instances = 1;
  long accelerators = 1;  ///< per instance
  workloads::Parallelism parallelism;
};

enum class ServeMode { aggregated, disaggregated, static_batch };

/// What becomes of a sequence that the KV cache has no room for.
enum class Preemption { recompute, swap };

struct ServeSpec {
  ServeMode mode = ServeMode::aggregated;
  Traffic traffic;
  Length input_tokens, output_tokens;
  double prefix_hit_rate = 0;
  double max_batch_sequences = 256;
  double max_batch_tokens = 8192;
  bool chunked_prefill = true;
  Preemption preemption = Preemption::recompute;
  double instances = 1;
  std::optional<Pool> prefill, decode;
  bool attention_dp = false;
  double redundant_experts = 0;
  std::optional<Speculation> speculation;
  std::optional<double> slo_ttft_s, slo_tpot_s;
  std::optional<double> expert_load_max_over_mean;
};

struct OpSpec {
  workloads::Operator op;
};

struct SellPrices {
  double input_usd_per_mtok = 0, cached_input_usd_per_mtok = 0, output_usd_per_mtok = 0;
};

struct PriceSpec {
  enum class Basis { rental, owned } basis = Basis::rental;
  std::optional<double> usd_per_accelerator_hour;  ///< empty: no price known (a warning, no cost)
  // owned
  double accelerator_usd = 0, server_usd_per_accelerator = 0, network_usd_per_accelerator = 0;
  double depreciation_years = 4, cost_of_capital = 0.1, electricity_usd_per_kwh = 0.08;
  double colocation_usd_per_kw_month = 0, staff_usd_per_hour = 0, utilisation = 1.0;
  std::string as_of, currency = "USD";
  std::optional<SellPrices> sell;
};

struct PowerSpec {
  double pue = 1.2;
  double grid_gco2e_per_kwh = 380;
  std::optional<double> host_w_per_accelerator;
};

/// A resolved input with where it came from: "/price/usd_per_accelerator_hour" …
struct InputSource {
  std::string path;
  std::string value;
  Source source;
};

/// What the scenario named or gave inline, as JSON text: what a resolved scenario is written from.
struct Origin {
  std::string model, model_overrides, accelerator;  ///< JSON text; empty when there was none
  hwmodels::ClusterOverrides overrides;
  std::string draft_model;
  std::string stack_file;  ///< path, when the stack is not a preset
};

struct RunStage;

struct Scenario {
  std::string name;
  Task task = Task::train;
  workloads::ModelConfig model;
  hwmodels::Cluster cluster;
  Precision precision;
  workloads::Parallelism parallelism;
  hwmodels::Stack stack;
  TrainSpec train;
  ServeSpec serve;
  OpSpec op;
  PriceSpec price;
  PowerSpec power;
  std::vector<RunStage> stages;     ///< of a training run; none: all tokens are trained alike
  std::vector<InputSource> inputs;  ///< defaults and assumptions taken while resolving
  unsigned long seed = 1;
  Origin origin;
};

/// Part of a training run with a batch, sequence length or layout of its own: a batch ramp, a
/// context extension. Its scenario is complete, has `train.tokens` and no stages.
struct RunStage {
  std::string name;
  /// Sequences of the first step when the batch grows linearly with the tokens, up to that of the
  /// scenario.
  std::optional<double> batch_from;
  Scenario scenario;
};

[[nodiscard]] std::string_view to_string(Task task);
[[nodiscard]] std::string_view to_string(Schedule schedule);

}  // namespace jevons::sim
