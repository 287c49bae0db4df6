// Sizing of a serving deployment: which layout, batch, precision and how many accelerators meet an
// SLO at the lowest cost per token, the most tokens per joule, or with the fewest chips.
//
// Every candidate is one run of the simulator on a closed loop of `concurrency` users per instance;
// instances are then replicated until the demand is met. Exhaustive: a layout space is a few
// hundred divisor tuples times a dozen batch sizes, so the answer is exact within the menu and
// explainable.
#pragma once

#include "jevons/sim/result.hpp"
#include "jevons/sim/scenario.hpp"

#include <optional>
#include <string>
#include <vector>

namespace jevons::sim {

enum class Objective { usd_per_mtok, tokens_per_joule, accelerators };

/// What the deployment must carry; at most one is set. Neither: one instance, best density.
struct Demand {
  std::optional<double> requests_per_s;
  std::optional<double> users;  ///< requests in flight over the whole deployment
};

struct PlanServeRequest {
  Scenario base;  ///< model, SKU, stack, lengths, SLO, price; its layout and batch are replaced
  Demand demand;
  Objective objective = Objective::usd_per_mtok;
  std::vector<Precision> precisions;       ///< empty: the base's
  long max_accelerators_per_instance = 0;  ///< 0: the base's cluster count
  long max_accelerators = 0;               ///< whole deployment; 0: unlimited
  unsigned threads = 0;                    ///< 0: all cores
};

/// One candidate: a layout and a batch, and how it did.
struct ServePlan {
  workloads::Parallelism parallelism;
  bool attention_dp = false;
  Precision precision;
  double concurrency = 1;  ///< users per instance
  long accelerators_per_instance = 1;
  double instances = 1;
  long accelerators = 1;          ///< of the deployment
  double ttft_s = 0, tpot_s = 0;  ///< medians
  double tokens_per_s_per_user = 0;
  double output_tokens_per_s_per_accelerator = 0;
  double requests_per_s = 0;    ///< of one instance
  double tokens_per_joule = 0;  ///< output tokens over IT energy
  std::optional<double> usd_per_mtok_output;
  bool fits = false, meets_slo = false, within_budget = true;
  std::string why_not;  ///< the limit that binds, in words; empty when it qualifies
};

struct ServePlanning {
  std::vector<ServePlan> ranked;   ///< those that qualify, best first
  std::vector<ServePlan> pareto;   ///< tok/s/user against tok/s/accelerator, ascending tok/s/user
  std::vector<ServePlan> fitting;  ///< all that fit in memory
  long candidates = 0;
  /// Nothing qualifies: which limit binds and what would have to change.
  std::optional<Infeasible> infeasible;
};

/// Deterministic for any thread count. Throws Error of the simulator for bad input.
[[nodiscard]] ServePlanning plan_serve(const PlanServeRequest& request);

/// The layouts tried for a model on `accelerators` chips of one instance, in a fixed order.
[[nodiscard]] std::vector<ServePlan> serve_layouts(const workloads::ModelConfig& model,
                                                   long scale_up_domain, long accelerators);

/// Points not dominated in (tok/s/user, tok/s/accelerator), ascending in the first.
[[nodiscard]] std::vector<ServePlan> pareto_front(std::vector<ServePlan> points);

}  // namespace jevons::sim
