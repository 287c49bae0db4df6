#include "jevons/sim/serve_memory.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace jevons::sim {
namespace {

/// Share of one layer's cache that lies on one rank.
double rank_share(const workloads::Attention& a, const StepLayout& layout) {
  const double stages = static_cast<double>(layout.parallelism.pp);
  if (layout.attention_dp) return 1 / stages;
  const auto tp = static_cast<double>(layout.parallelism.tp);
  switch (a.kind) {
    case workloads::AttentionKind::mla: return 1 / stages;
    case workloads::AttentionKind::gqa:
      return 1 / std::min(tp, std::max(1.0, static_cast<double>(a.kv_heads))) / stages;
    default: return 1 / tp / stages;
  }
}

double mean_length(const ServeSpec& s) {
  return std::max(1.0, s.input_tokens.mean + s.output_tokens.mean);
}

double rank_bytes(const Scenario& scenario, const StepLayout& layout, double tokens) {
  workloads::ModelConfig one = scenario.model;
  double bytes = 0;
  for (const workloads::LayerRun& run : workloads::layer_runs(scenario.model)) {
    one.layers.assign(1, scenario.model.layers[static_cast<std::size_t>(run.first)]);
    bytes += static_cast<double>(run.count) * rank_share(one.layers.front().attention, layout) *
             workloads::kv_bytes_of_sequence(one, scenario.precision.kv_cache, tokens);
  }
  return bytes;
}

std::string gigabytes(double bytes) {
  return fmt::format("{:.1f} GB", bytes / 1e9);
}

}  // namespace

Bytes ServeMemory::used_by(double tokens) const {
  return weights + reserve + workspace + Bytes(tokens / data_ranks * rank_bytes_per_token);
}

ServeMemory serve_memory(const Scenario& scenario, const StepModel& model,
                         const StepLayout& layout) {
  const hwmodels::Stack& stack = scenario.stack;
  ServeMemory m;
  // Engines take their share of what the driver reports, which is more than the label says.
  const hwmodels::Accelerator& chip = scenario.cluster.accelerator;
  const double label = chip.require("memory_bytes");
  const double memory = chip.find("driver_reported_memory_bytes").value_or(label);
  m.capacity = Bytes(memory * stack.at("serve_memory_fraction"));
  m.weights = model.weights();
  m.data_ranks = model.data_ranks();
  // What lies outside the allocator fits into the share left out first.
  m.reserve = Bytes(std::max(0.0, stack.at("memory_reserve_bytes") - (memory - m.capacity.raw())));
  double tokens = scenario.serve.max_batch_tokens;
  if (scenario.serve.traffic.kind == Traffic::Kind::static_batch) {
    tokens = std::min(tokens, scenario.serve.traffic.batch * scenario.serve.input_tokens.mean);
  }
  m.workspace = Bytes(tokens / model.data_ranks() * static_cast<double>(scenario.model.hidden) *
                      stack.at("serve_workspace_bytes_per_hidden"));
  m.kv_bytes_per_token = workloads::kv_bytes_per_token(scenario.model, scenario.precision.kv_cache);
  const double length = mean_length(scenario.serve);
  m.rank_bytes_per_token = rank_bytes(scenario, layout, length) / length;
  const double room = (m.capacity - m.weights - m.reserve - m.workspace).raw();
  if (m.rank_bytes_per_token > 0) {
    m.kv_capacity_tokens = std::max(0.0, room / m.rank_bytes_per_token * model.data_ranks());
  }
  return m;
}

std::optional<Infeasible> serve_fit(const Scenario& scenario, const ServeMemory& memory,
                                    const StepLayout& layout) {
  const double length = mean_length(scenario.serve);
  const double fixed = (memory.weights + memory.reserve + memory.workspace).raw();
  const double one = length * memory.rank_bytes_per_token;
  const double capacity = memory.capacity.raw();
  if (fixed + one <= capacity) return std::nullopt;
  Infeasible no;
  no.reason = fmt::format(
      "{} of weights, {} of reserve and workspace and {} of cache for one request of {:.0f} tokens "
      "need more than the {} an accelerator offers the engine",
      gigabytes(memory.weights.raw()), gigabytes(fixed - memory.weights.raw()), gigabytes(one),
      length, gigabytes(capacity));
  if (const double rest = memory.workspace.raw();
      fixed - rest + one + rest / 4 <= capacity && scenario.serve.max_batch_tokens > 2048) {
    no.smallest_change =
        fmt::format("max_batch_tokens {:.0f} fits", scenario.serve.max_batch_tokens / 4);
    return no;
  }
  for (const long factor : {2L, 4L, 8L, 16L, 32L, 64L}) {
    StepLayout wider = layout;
    workloads::Parallelism& l = wider.parallelism;
    const bool experts = l.ep > 1;
    if (experts) {
      l.ep *= factor;
      if (layout.attention_dp)
        l.dp *= factor;
      else
        l.tp *= factor;
    } else {
      l.tp *= factor;
      if (l.etp > 1 || layout.parallelism.etp > 1) l.etp *= factor;
    }
    try {
      const StepModel model(scenario, wider);
      const ServeMemory m = serve_memory(scenario, model, wider);
      if ((m.weights + m.reserve + m.workspace).raw() + length * m.rank_bytes_per_token <=
          m.capacity.raw()) {
        no.smallest_change = fmt::format("{} {} ({} accelerators an instance) fits",
                                         experts ? "ep" : "tp", experts ? l.ep : l.tp, l.world());
        return no;
      }
    } catch (const std::exception&) {
      break;  // this model cannot be cut so far
    }
  }
  return no;
}

}  // namespace jevons::sim
