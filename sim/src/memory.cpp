#include "jevons/sim/memory.hpp"

#include "jevons/sim/pipeline.hpp"

#include <algorithm>

namespace jevons::sim {
namespace {

using workloads::AttentionKind;
using workloads::FfnKind;
using workloads::Sharding;

bool listed(const TrainSpec& train, std::string_view module) {
  return train.recompute == Recompute::modules &&
         std::find(train.recompute_modules.begin(), train.recompute_modules.end(), module) !=
             train.recompute_modules.end();
}

bool unfused(const Scenario& s) {
  return !s.stack.flag("fused_attention");
}

/// Bytes of a kept tensor's element: low-precision recipes keep GEMM inputs in 8 bit.
double gemm_input_bytes(const Scenario& s) {
  return is_float8(s.precision.gemm) || is_four_bit(s.precision.gemm) ? 1.0 : 2.0;
}

/// Widths of one token in one layer, in bytes. `norm` is whole on every tensor-parallel rank unless
/// the sequence is parallel too; the rest is cut by tp.
struct Kept {
  double norm = 0, cut = 0, uncut = 0;
};

void keep_attention(const Scenario& s, const workloads::Attention& a, Kept& kept) {
  if (a.kind == AttentionKind::none) return;
  const double low = gemm_input_bytes(s);
  const double h = static_cast<double>(a.heads), g = static_cast<double>(a.kv_heads);
  const double qk = static_cast<double>(a.qk_dim), v = static_cast<double>(a.v_dim);
  const double output = s.precision.gemm.format == Format::fp8_block ? 1.5 : 2.0;
  const bool core_again = listed(s.train, "attention_core");
  if (a.kind == AttentionKind::mla) {
    const double cq = static_cast<double>(a.q_lora_rank), ck = static_cast<double>(a.kv_lora_rank);
    const double r = static_cast<double>(a.rope_dim);
    const bool norms_again = listed(s.train, "norm");
    kept.uncut += cq * (norms_again ? low : 2 + low) + (ck * (norms_again ? 1 : 2) + r) * 2;
    if (!listed(s.train, "mla_up_proj")) kept.cut += h * (2 * qk + v) * 2;
  } else if (a.heads > 0) {
    kept.cut += (h * qk + g * (qk + v)) * 2;
  } else {
    kept.cut += static_cast<double>(2 * a.inner + a.key_width + a.value_width) * 2;
  }
  if (!core_again) kept.cut += h * v * output + 4 * h;
  if (unfused(s) && s.train.recompute == Recompute::none) {
    kept.cut += 5 * h * s.train.sequence_length;
  }
}

void keep_ffn(const Scenario& s, const workloads::FeedForward& f, double d, Kept& kept) {
  const double low = gemm_input_bytes(s);
  const bool activation_again = listed(s.train, "moe_act") || listed(s.train, "mlp");
  const double up = f.gated ? 2 : 1;
  if (f.kind == FfnKind::dense) {
    if (listed(s.train, "mlp")) return;
    const double width = static_cast<double>(f.intermediate);
    kept.cut += width * (up * 2 + (listed(s.train, "moe_act") ? 0 : 2));
    return;
  }
  if (f.kind != FfnKind::moe) return;
  const double k = static_cast<double>(f.top_k);
  const double width = k * static_cast<double>(f.intermediate) +
                       static_cast<double>(f.shared_experts * f.shared_intermediate);
  const double load = s.train.expert_load_max_over_mean;
  kept.uncut += 4 * static_cast<double>(f.experts) + load * k * d * low;
  kept.cut += load * width * up * low;
  if (!activation_again) {
    kept.cut += load * width * 2;
    kept.uncut += load * k * d * 2;
  }
}

Kept kept_widths(const Scenario& s, const workloads::Layer& layer) {
  const double d = static_cast<double>(s.model.hidden);
  Kept kept;
  // Inputs and outputs of the two norms.
  const double outputs = 2 * d * gemm_input_bytes(s);
  kept.norm = listed(s.train, "norm") ? 2 * d * 2 : 2 * d * 2 + outputs;
  if (unfused(s)) kept.norm += 2 * d;  // dropout masks
  keep_attention(s, layer.attention, kept);
  keep_ffn(s, layer.ffn, d, kept);
  return kept;
}

double on_rank(const Scenario& s, const Kept& kept) {
  const double tp = static_cast<double>(s.parallelism.tp);
  const double outside = s.parallelism.sp ? tp : 1;
  return kept.norm / outside + kept.uncut / outside + kept.cut / tp;
}

double tokens_per_micro_batch(const Scenario& s) {
  return s.train.micro_batch_sequences * s.train.sequence_length /
         static_cast<double>(s.parallelism.cp);
}

double boundary_bytes(const Scenario& s) {
  const double tp = s.parallelism.sp ? static_cast<double>(s.parallelism.tp) : 1;
  return 2 * static_cast<double>(s.model.hidden) / tp;
}

/// Bytes of one micro-batch that the layers of a stage keep, and the largest live layer.
struct StageKept {
  double kept = 0, live = 0, offloaded = 0;
};
StageKept stage_kept(const Scenario& s, const StageLayout& stage) {
  const double tokens = tokens_per_micro_batch(s);
  const bool full = s.train.recompute == Recompute::full || listed(s.train, "layer");
  const long again = full ? s.train.recompute_layers.value_or(stage.layers) : 0;
  StageKept out;
  for (long i = 0; i < stage.layers + stage.mtp_modules; ++i) {
    const workloads::Layer& layer =
        i < stage.layers ? s.model.layers[static_cast<std::size_t>(stage.first_layer + i)]
                         : workloads::mtp_layer(s.model);
    const double whole = on_rank(s, kept_widths(s, layer)) * tokens;
    if (i < s.train.offload_layers) {
      out.live = std::max(out.live, whole);
      out.offloaded += whole;
    } else if (i < again) {
      out.kept += boundary_bytes(s) * tokens;
      out.live = std::max(out.live, whole);
    } else {
      out.kept += whole;
    }
  }
  return out;
}

struct StateBytes {
  double weights, gradients, optimizer;
};
StateBytes bytes_per_parameter(const Scenario& s) {
  StateBytes b{};
  b.weights = weight_bytes(s.precision.weights);
  b.gradients = activation_bytes(s.precision.gradients);
  if (s.precision.preset == "fp16" && s.stack.flag("fp16_gradients")) b.gradients = 2;
  double moments = 0;
  switch (s.train.optimizer) {
    case Optimizer::adamw: moments = 2; break;
    case Optimizer::muon: moments = 1; break;
    case Optimizer::sgd: moments = 0; break;
  }
  b.optimizer =
      activation_bytes(s.precision.master) + moments * activation_bytes(s.precision.moments);
  return b;
}

/// `copies`: ranks of one replica that hold this stage (DualPipe: two), which share sharded states.
void add_states(const Scenario& s, const StageLayout& stage, double copies, StageMemory& m) {
  const StageParameters p = stage_parameters(s.model, s.parallelism, stage);
  ShardGroups shard = shard_groups(s.parallelism);
  shard.dense *= copies;
  shard.experts *= copies;
  const StateBytes b = bytes_per_parameter(s);
  const double cut = p.dense / shard.dense + p.experts / shard.experts;
  const Sharding how = s.parallelism.sharding;
  const bool whole_weights = how != Sharding::zero3 && how != Sharding::fsdp;
  const bool whole_gradients = how == Sharding::none || how == Sharding::zero1;
  m.weights += Bytes(b.weights * (whole_weights ? p.total() : cut));
  m.gradients += Bytes(b.gradients * (whole_gradients ? p.total() : cut));
  m.optimizer += Bytes(b.optimizer * (how == Sharding::none ? p.total() : cut));
  if (!whole_weights) {
    // Two layers gathered at a time: the one that runs and the one prefetched.
    double largest = 0;
    for (long i = 0; i < stage.layers; ++i) {
      largest = std::max(
          largest, layer_parameters(s.model, s.parallelism,
                                    s.model.layers[static_cast<std::size_t>(stage.first_layer + i)])
                       .total());
    }
    m.buffers += Bytes(2 * largest * 2);
  }
}

/// Logits in 16 bit, their fp32 copy and its gradient.
Bytes logits(const Scenario& s) {
  constexpr double kBytesPerLogit = 10;
  return Bytes(kBytesPerLogit * tokens_per_micro_batch(s) * static_cast<double>(s.model.vocab) /
               static_cast<double>(s.parallelism.tp));
}

/// With sequence parallelism the layer that runs gathers its input and the input's gradient.
Bytes gathered_sequence(const Scenario& s) {
  if (!s.parallelism.sp || s.parallelism.tp < 2) return Bytes(0);
  return Bytes(2 * 2 * tokens_per_micro_batch(s) * static_cast<double>(s.model.hidden));
}

/// Weights, gradients, optimizer states of the first pipeline rank with the 16-bit copies that
/// synchronisation holds: gradients in buckets, and updated weights gathered from their shards.
Bytes update_bytes(const Scenario& s, const StageMemory& first, const StageLayout& stage) {
  const workloads::Parallelism& par = s.parallelism;
  const double parameters = stage_parameters(s.model, par, stage).total();
  const double copies = par.dp * par.cp > 1 ? 1 : 0;
  const bool sharded = par.sharding != Sharding::none;
  const double gathered = sharded ? copies + 1 / shard_groups(par).dense : 0;
  return first.weights + first.gradients + first.optimizer +
         Bytes(2 * parameters * (copies + gathered));
}

}  // namespace

double kept_bytes_per_token(const Scenario& scenario, const workloads::Layer& layer) {
  const Kept kept = kept_widths(scenario, layer);
  return kept.norm + kept.cut + kept.uncut;
}

bool TrainingMemory::fits() const {
  return !(capacity < peak().total());
}

StageMemory& StageMemory::operator+=(const StageMemory& other) {
  weights += other.weights;
  gradients += other.gradients;
  optimizer += other.optimizer;
  activations += other.activations;
  buffers += other.buffers;
  logits += other.logits;
  return *this;
}

StageFootprint stage_footprint(const Scenario& s, const StageLayout& stage) {
  const workloads::Parallelism& par = s.parallelism;
  const bool both_ways = s.train.schedule == Schedule::dualpipe && par.pp > 1;
  const double slack = s.stack.at("memory_allocator_factor");
  const double stages_of_rank = static_cast<double>(par.vpp * (both_ways ? 2 : 1));
  const StageKept kept = stage_kept(s, stage);
  StageFootprint out;
  add_states(s, stage, both_ways ? 2 : 1, out.resident);
  out.resident.activations = Bytes(slack * kept.live / stages_of_rank);
  if (stage.head) out.resident.logits = logits(s);
  out.kept = Bytes(slack * kept.kept);
  out.offloaded = Bytes(kept.offloaded);
  return out;
}

Bytes rank_buffers(const Scenario& s) {
  return Bytes(s.stack.at("memory_reserve_bytes")) + gathered_sequence(s);
}

TrainingMemory training_memory(const Scenario& s) {
  const workloads::Parallelism& par = s.parallelism;
  const std::vector<StageLayout> stages = stage_layout(s);
  const double micro_batches = s.train.global_batch_sequences /
                               (s.train.micro_batch_sequences * static_cast<double>(par.dp));
  const bool both_ways = s.train.schedule == Schedule::dualpipe && par.pp > 1;
  TrainingMemory memory;
  memory.capacity =
      Bytes(s.cluster.accelerator.require("memory_bytes") * s.stack.at("memory_usable_fraction"));
  std::vector<StageFootprint> footprints;
  for (const StageLayout& stage : stages) footprints.push_back(stage_footprint(s, stage));
  for (long rank = 0; rank < par.pp; ++rank) {
    StageMemory m;
    m.buffers = rank_buffers(s);
    const double flying = in_flight(s.train.schedule, par.pp, par.vpp, micro_batches, rank);
    std::vector<long> held;
    for (long c = 0; c < par.vpp; ++c) held.push_back(c * par.pp + rank);
    if (both_ways) held.push_back(par.pp - 1 - rank);
    for (const long index : held) {
      const StageFootprint& stage = footprints[static_cast<std::size_t>(index)];
      const double share = both_ways ? 0.5 : 1;  // in-flight micro-batches split over directions
      m += stage.resident;
      m.activations += (flying * share) * stage.kept;
    }
    m.buffers += (s.stack.at("memory_cache_factor") - 1) * m.total();
    if (rank == 0) memory.update = update_bytes(s, m, stages.front());
    memory.ranks.push_back(m);
    if (memory.ranks[memory.worst].total() < m.total()) {
      memory.worst = static_cast<std::size_t>(rank);
    }
  }
  return memory;
}

}  // namespace jevons::sim
