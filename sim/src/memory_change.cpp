// The smallest change that makes a step fit: tried in a fixed order, the first that fits is named.
#include "jevons/core/error.hpp"
#include "jevons/sim/memory.hpp"

#include <optional>

namespace jevons::sim {
namespace {

using workloads::Sharding;

bool fits(const Scenario& scenario) {
  try {
    return training_memory(scenario).fits();
  } catch (const Error&) {
    return false;  // more stages than layers
  }
}

std::optional<std::string> smaller_micro_batch(Scenario s) {
  while (s.train.micro_batch_sequences > 1) {
    s.train.micro_batch_sequences /= 2;
    if (s.train.micro_batch_sequences < 1) return std::nullopt;
    if (fits(s)) {
      return "train.micro_batch_sequences " +
             std::to_string(static_cast<long>(s.train.micro_batch_sequences));
    }
  }
  return std::nullopt;
}

std::optional<std::string> more_recompute(Scenario s) {
  if (s.train.recompute == Recompute::full) {
    if (!s.train.recompute_layers) return std::nullopt;
    s.train.recompute_layers.reset();
    return fits(s) ? std::optional<std::string>("train.recompute_layers null (all)") : std::nullopt;
  }
  if (s.train.recompute == Recompute::none) {
    s.train.recompute = Recompute::selective;
    if (fits(s)) return "train.recompute selective";
    // What DeepSeek-V3 recomputed (arXiv 2412.19437, section 3.2.3): cheap, and most of the gain.
    s.train.recompute = Recompute::modules;
    s.train.recompute_modules = {"norm", "mla_up_proj", "moe_act"};
    if (fits(s)) return R"(train.recompute ["norm","mla_up_proj","moe_act"])";
  }
  s.train.recompute = Recompute::full;
  s.train.recompute_layers.reset();
  return fits(s) ? std::optional<std::string>("train.recompute full") : std::nullopt;
}

std::optional<std::string> more_sharding(Scenario s) {
  struct Step {
    Sharding how;
    const char* name;
  };
  constexpr Step kSteps[] = {
      {Sharding::zero1, "zero1"}, {Sharding::zero2, "zero2"}, {Sharding::fsdp, "fsdp"}};
  for (const Step& step : kSteps) {
    if (static_cast<int>(step.how) <= static_cast<int>(s.parallelism.sharding)) continue;
    if (step.how == Sharding::fsdp && s.parallelism.sharding == Sharding::zero3) continue;
    if (step.how != Sharding::zero1 && s.parallelism.pp > 1) continue;
    s.parallelism.sharding = step.how;
    if (fits(s)) return std::string("parallelism.sharding ") + step.name;
  }
  return std::nullopt;
}

/// Every micro-batch still has a whole number of sequences on every replica.
bool batch_divides(const Scenario& s) {
  const long per = s.parallelism.dp * static_cast<long>(s.train.micro_batch_sequences);
  return static_cast<long>(s.train.global_batch_sequences) % per == 0;
}

std::optional<std::string> more_tensor_parallel(Scenario s) {
  const long heads = s.model.layers.front().attention.heads;
  while (s.parallelism.dp % 2 == 0 && s.parallelism.tp * 2 <= s.cluster.scale_up_domain) {
    s.parallelism.tp *= 2;
    s.parallelism.dp /= 2;
    s.parallelism.sp = true;
    if (s.parallelism.etp > 1) s.parallelism.etp = s.parallelism.tp;
    if (heads > 0 && heads % s.parallelism.tp != 0) return std::nullopt;
    if (batch_divides(s) && fits(s)) return "parallelism.tp " + std::to_string(s.parallelism.tp);
  }
  return std::nullopt;
}

std::optional<std::string> more_pipeline(Scenario s) {
  const long experts = s.parallelism.ep * s.parallelism.etp;
  while (s.parallelism.dp % 2 == 0) {
    s.parallelism.pp *= 2;
    s.parallelism.dp /= 2;
    const long folded = s.parallelism.tp * s.parallelism.cp * s.parallelism.dp;
    if (folded % experts != 0) return std::nullopt;
    if (batch_divides(s) && fits(s)) return "parallelism.pp " + std::to_string(s.parallelism.pp);
  }
  return std::nullopt;
}

std::optional<std::string> more_expert_parallel(Scenario s) {
  long experts = 0;
  for (const workloads::Layer& layer : s.model.layers)
    experts = std::max(experts, layer.ffn.experts);
  const workloads::Parallelism& p = s.parallelism;
  while (experts % (p.ep * 2) == 0 && experts > 0 &&
         (p.tp * p.cp * p.dp) % (p.ep * 2 * p.etp) == 0) {
    s.parallelism.ep *= 2;
    if (fits(s)) return "parallelism.ep " + std::to_string(s.parallelism.ep);
  }
  return std::nullopt;
}

std::optional<std::string> more_offload(Scenario s) {
  const long layers = static_cast<long>(s.model.layers.size());
  for (long n = s.train.offload_layers + 1; n <= layers / (s.parallelism.pp * s.parallelism.vpp);
       ++n) {
    s.train.offload_layers = n;
    if (fits(s)) return "train.offload_layers " + std::to_string(n);
  }
  return std::nullopt;
}

/// As it is, else with everything recomputed, which costs less than more accelerators.
std::optional<std::string> fits_or_recomputed(Scenario s, const std::string& change) {
  if (fits(s)) return change;
  s.train.recompute = Recompute::full;
  s.train.recompute_layers.reset();
  return fits(s) ? std::optional<std::string>(change + ", train.recompute full") : std::nullopt;
}

/// The last resort: the same job on more accelerators, as more stages or more shards.
std::optional<std::string> more_accelerators(const Scenario& scenario) {
  constexpr int kMostDoublings = 12;
  Scenario stages = scenario, shards = scenario;
  shards.parallelism.sharding = Sharding::fsdp;
  for (int doubling = 1; doubling <= kMostDoublings; ++doubling) {
    stages.cluster.count *= 2;
    stages.parallelism.pp *= 2;
    const std::string count = "cluster.count " + std::to_string(stages.cluster.count);
    const std::string deeper = ", parallelism.pp " + std::to_string(stages.parallelism.pp);
    if (auto found = fits_or_recomputed(stages, count + deeper)) return found;
    shards.cluster.count *= 2;
    shards.parallelism.dp *= 2;
    if (shards.parallelism.pp > 1 || !batch_divides(shards)) continue;
    if (auto found = fits_or_recomputed(shards, count + ", parallelism.sharding fsdp")) {
      return found;
    }
  }
  return std::nullopt;
}

}  // namespace

std::string smallest_change_that_fits(const Scenario& scenario) {
  for (const auto& change :
       {smaller_micro_batch, more_recompute, more_sharding, more_tensor_parallel, more_pipeline,
        more_expert_parallel, more_offload}) {
    if (const auto found = change(scenario)) return *found;
  }
  return more_accelerators(scenario).value_or("");
}

}  // namespace jevons::sim
