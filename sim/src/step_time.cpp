#include "jevons/sim/step_time.hpp"

#include "engine_experts.hpp"

#include "jevons/sim/routing.hpp"

#include <algorithm>
#include <cmath>

namespace jevons::sim {
namespace {

using workloads::DecodeContext;
using workloads::Layer;
using workloads::Module;
using workloads::Operator;
using workloads::TensorClass;

/// Rows of a grouped-GEMM tile: as many as an expert has, from the 8 of the narrowest matrix
/// instruction (vLLM's Marlin kernel chooses from 8 to 64) to 128; 64 at least where weights are
/// scaled by blocks (the default of vLLM's fused_moe for them).
constexpr double kLeastTile = 8, kLeastBlockTile = 64, kMostTile = 128;
constexpr int kExact = 16;              // grid points are the integers up to here
constexpr double kTokenOctave = 8;      // then points per octave
constexpr double kContextOctave = 4;    // contexts and chunks
constexpr double kLeastContext = 16.0;  // contexts below share a cell

/// Attention of one class of sequences: everything whose cost depends on their keys.
bool is_core(const Operator& op) {
  return op.module == Module::attention_core || op.module == Module::indexer ||
         op.name == "q_absorb" || op.name == "v_up_proj" || op.name == "kv_b_proj";
}

// ---- grids: value of point i, and the cell of a value ----

double token_point(int i) {
  if (i <= kExact) return i;
  return std::round(kExact * std::exp2((i - kExact) / kTokenOctave));
}

double context_point(int i) {
  if (i == 0) return 0;
  return kLeastContext * std::exp2((i - 1) / kContextOctave);
}

struct Cell {
  int low = 0;
  double share = 0;  ///< of the upper point
};

template <class Point>
Cell cell_of(double value, int guess, const Point& point) {
  int i = std::max(guess, 0);
  while (i > 0 && point(i) > value) --i;
  while (point(i + 1) <= value) ++i;
  const double low = point(i), high = point(i + 1);
  return {i, (value - low) / (high - low)};
}

Cell token_cell(double value) {
  const int guess = value < kExact
                        ? static_cast<int>(value)
                        : kExact + static_cast<int>(kTokenOctave * std::log2(value / kExact));
  return cell_of(value, guess, token_point);
}

Cell context_cell(double value) {
  const int guess = value < kLeastContext
                        ? 0
                        : 1 + static_cast<int>(kContextOctave * std::log2(value / kLeastContext));
  return cell_of(value, guess, context_point);
}

}  // namespace

StepWork& StepWork::operator+=(const StepWork& o) {
  time_s += o.time_s;
  exchange_s += o.exchange_s;
  experts_s += o.experts_s;
  overhead_s += o.overhead_s;
  flops += o.flops;
  wide_flops += o.wide_flops;
  weight_bytes += o.weight_bytes;
  kv_bytes += o.kv_bytes;
  tile_flops += o.tile_flops;
  tile_bytes += o.tile_bytes;
  launches += o.launches;
  return *this;
}

StepWork operator*(const StepWork& w, double s) {
  return {w.time_s * s,     w.exchange_s * s, w.experts_s * s,    w.overhead_s * s,
          w.flops * s,      w.wide_flops * s, w.weight_bytes * s, w.kv_bytes * s,
          w.tile_flops * s, w.tile_bytes * s, w.launches * s};
}

Activity activity_of(const StepWork& work, double seconds, const Precision& precision) {
  return {.flops_per_s = (work.flops - work.wide_flops) / seconds,
          .format = precision.gemm,
          .wide_flops_per_s = work.wide_flops / seconds,
          .bytes_per_s = (work.weight_bytes + work.kv_bytes) / seconds,
          .tile_flops_per_s = work.tile_flops / seconds,
          .tile_bytes_per_s = work.tile_bytes / seconds,
          .tile_weights = precision.weights};
}

StepModel::StepModel(const Scenario& scenario, const StepLayout& layout)
    : model_(scenario.model),
      stack_(scenario.stack),
      cluster_(scenario.cluster),
      precision_(scenario.precision),
      layout_(layout),
      costs_(scenario.cluster, scenario.stack),
      experts_(std::make_unique<EngineExperts>(scenario.cluster, scenario.stack)),
      overlap_(scenario.stack.at("ep_overlap")) {
  for (const Layer& layer : model_.layers) {
    const auto same = std::find_if(kinds_.begin(), kinds_.end(),
                                   [&](const auto& kind) { return *kind.first == layer; });
    if (same != kinds_.end()) {
      same->second += 1;
    } else {
      kinds_.emplace_back(&layer, 1.0);
    }
    if (layer.ffn.kind == workloads::FfnKind::moe) moe_layers_ += 1;
  }
  layers_ = static_cast<double>(model_.layers.size());
  const workloads::Parallelism& l = layout_.parallelism;
  data_ranks_ = static_cast<double>(layout_.attention_dp ? l.tp * l.dp : l.dp);
  // NVFP4, MXFP4 and 4-bit-integer checkpoints of MoE models quantise the experts only.
  wide_dense_ = moe_layers_ > 0 && payload_bits(precision_.weights) <= 4.5;
  if (layout_.load_max_over_mean <= 0 && layout_.attention_dp && l.ep > 1) {
    for (const auto& kind : kinds_) {
      if (kind.first->ffn.kind != workloads::FfnKind::moe) continue;
      layout_.load_max_over_mean = expected_imbalance(kind.first->ffn.experts, l.ep,
                                                      static_cast<long>(layout_.redundant_experts),
                                                      stack_.at("serve_routing_skew"));
    }
  }
  set_weights();
}

StepModel::~StepModel() = default;

workloads::DecodeContext StepModel::base(double total) const {
  const workloads::Parallelism& l = layout_.parallelism;
  DecodeContext c;
  c.sequences = 0;
  c.parallelism = l;
  c.attention_dp = layout_.attention_dp;
  c.precision = precision_;
  c.load_max_over_mean = layout_.load_max_over_mean;
  c.redundant_experts = layout_.redundant_experts;
  const double groups = static_cast<double>(l.ep * l.etp) / static_cast<double>(l.tp * l.dp);
  c.layer_tokens = total * std::min(1.0, groups);
  return c;
}

void StepModel::convert_to_wide(Operator& op) const {
  if (!wide_dense_ || !std::holds_alternative<workloads::Gemm>(op.shape)) return;
  op.format = precision_.activations;
  op.weight_format = precision_.activations;
  op.activation_format = precision_.activations;
}

/// Tiles of T rows, T the rows of an expert that has some: one tile at least, and the last of
/// several is half empty on average.
void StepModel::add_tiles(StepWork& sum, const workloads::MoeExperts& experts, const Operator& op,
                          double hit, double count) {
  if (hit <= 0) return;
  const bool block = op.weight_format.format == Format::fp8_block;
  const double rows = workloads::expert_rows(experts);
  const double tile = std::clamp(rows / hit, block ? kLeastBlockTile : kLeastTile, kMostTile);
  const double tiles = std::max(hit, rows / tile + hit / 2);
  const double parameters = (experts.gated ? 3 : 2) * experts.hidden * experts.intermediate /
                            static_cast<double>(experts.etp);
  sum.tile_flops += count * 2 * parameters * tiles * tile;
  sum.tile_bytes += count * parameters * tiles * weight_bytes(op.weight_format);
}

namespace {

/// Kernels of an operator outside a captured graph: narrow GEMMs quantise their input first; a
/// layer of experts chooses, sorts, multiplies twice with the activation between, and adds up.
double launches_of(const Operator& op) {
  const double quantise = payload_bits(op.activation_format) <= 8 ? 1 : 0;
  if (std::holds_alternative<workloads::Gemm>(op.shape)) return 1 + quantise;
  if (std::holds_alternative<workloads::MoeExperts>(op.shape)) return 6 + 2 * quantise;
  return 1;
}

}  // namespace

void StepModel::add(StepWork& sum, const Operator& op, double count) const {
  const auto* experts = std::get_if<workloads::MoeExperts>(&op.shape);
  const bool engine_experts = experts != nullptr && experts_->used();
  OperatorCost cost;
  if (!engine_experts || rows_ != nullptr) cost = costs_.cost(op, {.cold_weights = true});
  double time = cost.time.raw();
  if (engine_experts) {
    time = experts_->time(*experts, op, layout_.attention_dp && experts->ep > 1);
  } else if (std::holds_alternative<workloads::Elementwise>(op.shape)) {
    time -= cost.floor.raw();  // the stack's time per layer is the chain of these kernels
  }
  const workloads::Work work = workloads::work_of(op);
  if (rows_ != nullptr) {
    rows_->push_back({.name = op.name,
                      .kind = std::string(workloads::kind_name(op.shape)),
                      .phase = "",
                      .format = to_string(op.format),
                      .bound = std::string(to_string(cost.bound)),
                      .calls = count,
                      .time_s = time,
                      .flops = work.flops,
                      .bytes = work.total_bytes(),
                      .peak_flops_per_s = cost.peak.raw(),
                      .formula = ""});
  }
  sum.time_s += count * time;
  sum.launches += count * launches_of(op);
  if (std::holds_alternative<workloads::MoeExchange>(op.shape)) sum.exchange_s += count * time;
  sum.kv_bytes += count * work.bytes[static_cast<std::size_t>(TensorClass::kv_cache)];
  const double weights = work.bytes[static_cast<std::size_t>(TensorClass::weights)];
  if (experts != nullptr) {
    sum.experts_s += count * time;
    const double even = workloads::experts_hit(*experts);
    const double hit = engine_experts ? experts_->hit(*experts) : even;
    sum.weight_bytes += count * weights * (even > 0 ? hit / even : 1);
    add_tiles(sum, *experts, op, hit, count);
    return;
  }
  sum.weight_bytes += count * weights;
  sum.flops += count * work.flops;
  if (payload_bits(op.format) > 8) sum.wide_flops += count * work.flops;
}

StepWork StepModel::layers(const DecodeContext& context, bool core) const {
  StepWork sum;
  for (const auto& [layer, count] : kinds_) {
    workloads::OperatorGraph graph = workloads::layer_decode(model_, *layer, context);
    for (Operator& op : graph.operators) {
      if (is_core(op) != core) continue;
      convert_to_wide(op);
      add(sum, op, count);
    }
  }
  return sum;
}

/// a, b, c: tokens in all (mixed: on a rank); sequences of a rank, context; tokens of a prompt,
/// prompts, prefix.
StepWork StepModel::evaluate(Part part, double a, double b, double c) const {
  // b > 0: uneven prompts, a tokens on the busiest rank of b in all.
  DecodeContext s = base(part != Part::mixed_tokens ? a : b > 0 ? b : a * data_ranks_);
  switch (part) {
    case Part::decode_tokens:
      s.sequences = std::max(a / data_ranks_, std::min(a, 1.0));
      s.context = 1;
      return layers(s, false);
    case Part::mixed_tokens:
      s.prefill_tokens = a;
      s.prefill_position = s.prefill_tokens / 2;
      return layers(s, false);
    case Part::decode_core:
      s.sequences = a;
      s.query_tokens = layout_.query_tokens;
      s.context = b;
      s.layer_tokens = 0;
      return layers(s, true);
    case Part::chunk_core:
      s.prefill_tokens = a * b;
      s.prefill_sequences = b;
      s.prefill_position = c + a / 2;
      s.layer_tokens = 0;
      return layers(s, true);
    case Part::head:
      s.sequences = std::max(a / data_ranks_, std::min(a, 1.0));
      return whole({workloads::head_decode(model_, s), workloads::embedding_decode(model_, s)});
    case Part::mtp_module:
      s.sequences = std::max(a / data_ranks_, std::min(a, 1.0));
      s.context = b;
      return whole({workloads::mtp_input_decode(model_, s),
                    workloads::layer_decode(model_, workloads::mtp_layer(model_), s),
                    workloads::head_decode(model_, s)});
  }
  return {};
}

StepWork StepModel::whole(std::initializer_list<workloads::OperatorGraph> graphs) const {
  StepWork sum;
  for (const workloads::OperatorGraph& graph : graphs) {
    for (Operator op : graph.operators) {
      convert_to_wide(op);
      add(sum, op, 1);
    }
  }
  return sum;
}

/// The parts of one micro-batch, before the stack's constants; `part(part, a, b, c)`.
template <class Lookup>
StepWork StepModel::parts(const StepBatch& s, const Lookup& part) const {
  const double q = layout_.query_tokens;
  const double tokens = s.sequences * q + s.prefill_tokens;
  const bool mixed = s.prefill_tokens > 0;
  // Fewer prompts than ranks: those that have one work on it whole, the others wait for them.
  const double busiest =
      mixed ? s.sequences * q / data_ranks_ +
                  s.prefill_tokens / std::clamp(s.prefill_sequences, 1.0, data_ranks_)
            : 0;
  const bool uneven = busiest > 1.001 * tokens / data_ranks_;
  StepWork sum = uneven  ? part(Part::mixed_tokens, busiest, tokens, 0)
                 : mixed ? part(Part::mixed_tokens, std::max(tokens / data_ranks_, 1.0), 0, 0)
                         : part(Part::decode_tokens, tokens, 0, 0);
  if (s.sequences > 0) {
    const double b = std::max(s.sequences / data_ranks_, 1.0);
    sum += part(Part::decode_core, b, s.context, 0);
  }
  if (mixed) {
    const double n = std::max(s.prefill_sequences, 1.0);
    const double chunk = s.prefill_tokens / n;
    const double prefix = std::max(0.0, s.prefill_position - chunk / 2);
    sum += part(Part::chunk_core, chunk, std::max(n / data_ranks_, 1.0), prefix);
  }
  const double rows = s.sequences * q + (mixed ? std::max(s.prefill_sequences, 1.0) : 0.0);
  sum += part(Part::head, rows, 0, 0);
  return sum;
}

double StepModel::transfer_time(double tokens) const {
  const workloads::Parallelism& l = layout_.parallelism;
  if (l.pp <= 1) return 0;
  Operator send;
  send.shape = workloads::Collective{.kind = workloads::CollectiveKind::p2p,
                                     .bytes = tokens * static_cast<double>(model_.hidden) *
                                              activation_bytes(precision_.activations),
                                     .ranks = 2,
                                     .stride = l.pp_stride()};
  return static_cast<double>(l.pp - 1) * costs_.cost(send, {.cold_weights = true}).time.raw();
}

template <class Lookup>
StepWork StepModel::combine(const StepBatch& batch, const Lookup& part) const {
  const auto stages = static_cast<double>(layout_.parallelism.pp);
  StepBatch s = batch;
  if (stages > 1) {
    s.sequences = s.sequences > 0 ? std::max(s.sequences / stages, 1.0) : 0.0;
    s.prefill_tokens /= stages;
    s.prefill_sequences =
        std::min(s.prefill_sequences, std::max(1.0, s.prefill_sequences / stages));
  }
  StepWork sum = parts(s, part);
  if (overlap_ > 0 && sum.exchange_s > 0) {
    StepBatch half = s;
    half.sequences /= 2;
    half.prefill_tokens /= 2;
    half.prefill_sequences /= 2;
    const StepWork two = parts(half, part) * 2.0;
    const double compute = two.time_s - two.exchange_s;
    const double joined =
        std::max(compute, two.exchange_s) + (1 - overlap_) * std::min(compute, two.exchange_s);
    if (joined < sum.time_s) {
      sum = two;
      sum.time_s = joined;
    }
  }
  const bool mixed = batch.prefill_tokens > 0;
  const double kernels = sum.time_s;
  sum.time_s +=
      layers_ * stack_.at("serve_per_layer_s") + moe_layers_ * stack_.at("serve_per_moe_layer_s");
  const workloads::Parallelism& l = layout_.parallelism;
  if (l.tp > 1 && !layout_.attention_dp) {
    // Two sums over the ranks a layer.
    sum.time_s +=
        2 * layers_ * stack_.at("serve_collective_s") * std::log2(static_cast<double>(l.tp));
  }
  const bool captured = stack_.flag("serve_cuda_graphs") &&
                        (!mixed || s.sequences * layout_.query_tokens + s.prefill_tokens <=
                                       stack_.at("serve_captured_tokens"));
  if (!captured) {
    double host = sum.launches * stack_.at("serve_launch_s");
    // Launched while the step before it, one of decoding, runs.
    if (host > sum.time_s && mixed && batch.sequences > 0 &&
        stack_.flag("serve_async_scheduling")) {
      host -= combine({.sequences = batch.sequences, .context = batch.context}, part).time_s;
    }
    sum.time_s = std::max(sum.time_s, host);
  }
  sum.time_s += transfer_time(s.sequences * layout_.query_tokens + s.prefill_tokens);
  sum.time_s += stack_.at("serve_host_per_step_s") +
                stack_.at("serve_per_sequence_s") * batch.sequences / data_ranks_;
  if (Watts(0) < cluster_.power_cap && sum.time_s > 0) {
    sum.time_s *= cap_stretch(activity_of(sum, sum.time_s, precision_), cluster_,
                              stack_.at("power_cap_exponent"));
  }
  sum.overhead_s = sum.time_s - kernels;
  return sum;
}

StepWork StepModel::exact(const StepBatch& batch) const {
  return combine(
      batch, [this](Part part, double a, double b, double c) { return evaluate(part, a, b, c); });
}

std::vector<OperatorRow> StepModel::operators(const StepBatch& batch, std::string_view phase) {
  std::vector<OperatorRow> rows;
  rows_ = &rows;
  (void)parts(batch,
              [this](Part part, double a, double b, double c) { return evaluate(part, a, b, c); });
  rows_ = nullptr;
  for (OperatorRow& row : rows) row.phase = phase;
  return rows;
}

StepWork StepModel::step(const StepBatch& batch) {
  return combine(batch, [this](Part part, double a, double b, double c) {
    return interpolate(part, a, b, c);
  });
}

const StepWork& StepModel::at(Part part, int i, int j, int k) {
  const auto bits = [](int v) { return static_cast<std::uint64_t>(v) & 0xffffU; };
  const std::uint64_t key =
      (static_cast<std::uint64_t>(part) << 48U) | (bits(i) << 32U) | (bits(j) << 16U) | bits(k);
  const auto found = memo_.find(key);
  if (found != memo_.end()) return found->second;
  StepWork value;
  switch (part) {
    case Part::decode_tokens:
    case Part::mixed_tokens:
    case Part::head:
      if (i > 0) value = evaluate(part, token_point(i), token_point(j), 0);
      break;
    case Part::decode_core:
    case Part::mtp_module:
      if (i > 0) value = evaluate(part, token_point(i), context_point(j), 0);
      break;
    case Part::chunk_core:
      if (i > 0) value = evaluate(part, context_point(i), token_point(j), context_point(k));
      break;
  }
  return memo_.emplace(key, value).first->second;
}

StepWork StepModel::interpolate(Part part, double a, double b, double c) {
  StepWork sum;
  const auto blend = [&](int i, int j, int k, double weight) {
    if (weight > 0) sum += at(part, i, j, k) * weight;
  };
  const bool by_context = part == Part::decode_core || part == Part::mtp_module;
  if (by_context || (part == Part::mixed_tokens && b > 0)) {
    const Cell x = token_cell(a), y = by_context ? context_cell(b) : token_cell(b);
    for (const int i : {0, 1}) {
      for (const int j : {0, 1}) {
        blend(x.low + i, y.low + j, 0,
              (i != 0 ? x.share : 1 - x.share) * (j != 0 ? y.share : 1 - y.share));
      }
    }
    return sum;
  }
  if (part == Part::chunk_core) {
    const Cell x = context_cell(a), y = token_cell(b), z = context_cell(c);
    for (const int i : {0, 1}) {
      for (const int j : {0, 1}) {
        for (const int k : {0, 1}) {
          blend(x.low + i, y.low + j, z.low + k,
                (i != 0 ? x.share : 1 - x.share) * (j != 0 ? y.share : 1 - y.share) *
                    (k != 0 ? z.share : 1 - z.share));
        }
      }
    }
    return sum;
  }
  const Cell x = token_cell(a);
  blend(x.low, 0, 0, 1 - x.share);
  blend(x.low + 1, 0, 0, x.share);
  return sum;
}

double StepModel::next_grid_context(double context) {
  return context_point(context_cell(context).low + 1);
}

StepWork StepModel::mtp_draft(double sequences, double context) {
  StepWork sum = interpolate(Part::mtp_module, std::max(sequences, 1.0), context, 0);
  sum.time_s += stack_.at("serve_per_layer_s") + stack_.at("serve_per_moe_layer_s");
  return sum;
}

void StepModel::set_weights() {
  DecodeContext s = base(1);
  s.sequences = 1;
  s.context = 1;
  s.prefill_tokens = 0;
  double bytes = 0;
  const auto add_gemm = [&](Operator op, double count) {
    if (const auto* g = std::get_if<workloads::Gemm>(&op.shape)) {
      const double elements = g->n * g->k * g->groups;
      convert_to_wide(op);
      bytes += count * elements * weight_bytes(op.weight_format);
    } else if (const auto* e = std::get_if<workloads::MoeExperts>(&op.shape)) {
      const double held =
          (e->experts + e->redundant) / static_cast<double>(e->ep) / static_cast<double>(e->etp);
      bytes += count * held * (e->gated ? 3 : 2) * e->hidden * e->intermediate *
               weight_bytes(op.weight_format);
    }
  };
  for (const auto& [layer, count] : kinds_) {
    for (const Operator& op : workloads::layer_decode(model_, *layer, s).operators) {
      add_gemm(op, count / static_cast<double>(layout_.parallelism.pp));
    }
  }
  // Embedding and head, cut over tp, on the first and last stage: the larger stage counts once.
  const double tables = model_.tied_embeddings || layout_.parallelism.pp > 1 ? 1 : 2;
  bytes += tables * static_cast<double>(model_.vocab * model_.hidden) *
           weight_bytes(precision_.activations) / static_cast<double>(layout_.parallelism.tp);
  weights_ = Bytes(bytes);
}

}  // namespace jevons::sim
