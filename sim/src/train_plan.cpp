// Builds the plan: layers costed once per kind, put on stages, with data parallelism and optimizer.
#include "train_pass.hpp"

#include "jevons/core/error.hpp"
#include "jevons/sim/memory.hpp"
#include "jevons/sim/stage_layout.hpp"
#include "jevons/sim/training.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

namespace jevons::sim {
namespace {

using detail::Kind;
using detail::KindSeconds;
using detail::PassCost;
using detail::PassRules;
using workloads::Layer;
using workloads::Operator;
using workloads::OperatorGraph;
using workloads::Phase;
using workloads::Sharding;

constexpr double kBackwardHost = 1.4;  ///< host time of a backward over that of a forward

bool any(const Operator&) {
  return true;
}
bool input_part(const Operator& op) {
  return op.phase != Phase::weight_gradient;
}
bool weight_part(const Operator& op) {
  return op.phase == Phase::weight_gradient;
}

/// A piece with its report.
struct Piece {
  PieceTimes times;
  KindSeconds seconds{};
};

class Planner {
 public:
  explicit Planner(const Scenario& scenario)
      : s_(scenario),
        model_(scenario.cluster, scenario.stack),
        rules_(detail::pass_rules(scenario)) {
    const double cp = static_cast<double>(s_.parallelism.cp);
    context_.tokens = s_.train.micro_batch_sequences * s_.train.sequence_length / cp;
    context_.sequence = s_.train.sequence_length;
    context_.batch = s_.train.micro_batch_sequences;
    context_.parallelism = s_.parallelism;
    context_.precision = s_.precision;
    context_.load_max_over_mean = s_.train.expert_load_max_over_mean;
    context_.unfused_attention = !s_.stack.flag("fused_attention");
    context_.latent_ring = s_.stack.flag("cp_sends_latents");
    context_.causal = s_.train.causal;
  }

  TrainingPlanReport build();

 private:
  Piece piece(std::string name, const OperatorGraph& forward, const OperatorGraph& backward,
              bool again, const std::string& operators_name);
  const Piece& layer_piece(const Layer& layer, bool again);
  void add_fsdp(PieceTimes& times, KindSeconds& seconds, const StageParameters& p) const;
  void set_host(PieceTimes& times, const Layer& layer, bool again) const;
  bool recomputed(const Operator& op, bool again) const;
  StageTimes stage(const StageLayout& layout, KindSeconds& seconds);
  [[nodiscard]] double table() const;
  const Piece& embedding();
  const Piece& head();
  const Piece& mtp();
  [[nodiscard]] int moments() const;
  [[nodiscard]] Operator send() const;
  [[nodiscard]] bool gathers_per_layer() const;
  [[nodiscard]] Seconds allocator_retries(const TrainingPlan& plan) const;
  void add_totals(TrainingPlanReport& out) const;
  void add_data_parallel(const StageLayout& layout, StageTimes& out) const;
  double collective(const Operator& op) const {
    return model_.cost(op, {.cold_weights = true, .held_units = 0}).time.raw();
  }
  void add_operators(const OperatorGraph& graph, const std::string& piece, double calls);

  const Scenario& s_;
  OperatorModel model_;
  PassRules rules_;
  workloads::LayerContext context_;
  struct Known {
    const Layer* layer;
    bool again;
    Piece piece;
  };
  std::vector<Known> known_;
  std::optional<Piece> embedding_, head_, mtp_;
  const Piece* last_ = nullptr;  ///< piece pushed last, to count repeats
  std::vector<OperatorRow> operators_;
  bool report_ = true;
};

bool Planner::recomputed(const Operator& op, bool again) const {
  switch (s_.train.recompute) {
    case Recompute::none: return false;
    case Recompute::full: return again;
    case Recompute::selective:
      // Megatron's selective recompute is the unfused core; a fused one recomputes anyway.
      return context_.unfused_attention && op.module == workloads::Module::attention_core;
    case Recompute::modules:
      return std::any_of(
          s_.train.recompute_modules.begin(), s_.train.recompute_modules.end(),
          [&op](const std::string& m) { return workloads::recomputed(op.module, m); });
  }
  return false;
}

Piece Planner::piece(std::string name, const OperatorGraph& forward, const OperatorGraph& backward,
                     bool again, const std::string& operators_name) {
  Piece out;
  out.times.name = std::move(name);
  const auto take = [&](PassTimes& into, const OperatorGraph& graph, const detail::Chosen& chosen) {
    const PassCost cost = detail::pass_cost(graph, chosen, model_, rules_);
    into = cost.times;
    for (std::size_t i = 0; i < detail::kKinds; ++i) out.seconds[i] += cost.seconds[i];
    return cost.collectives;
  };
  const double collectives = take(out.times.forward, forward, any);
  const double back = take(out.times.backward_input, backward, input_part);
  take(out.times.backward_weight, backward, weight_part);
  const double repeated = take(out.times.recompute, forward,
                               [this, again](const Operator& op) { return recomputed(op, again); });
  out.times.forward.host = Seconds(collectives * rules_.host_per_collective);
  out.times.backward_input.host = Seconds(back * rules_.host_per_collective);
  out.times.recompute.host = Seconds(repeated * rules_.host_per_collective);
  if (!operators_name.empty()) {
    add_operators(forward, operators_name, 1);
    add_operators(backward, operators_name, 1);
  }
  return out;
}

void Planner::add_operators(const OperatorGraph& graph, const std::string& piece, double calls) {
  for (const Operator& op : graph.operators) {
    const OperatorCost cost = model_.cost(op, {.cold_weights = true, .held_units = 0});
    OperatorRow row;
    row.name = piece + "." + op.name;
    row.kind = workloads::kind_name(op.shape);
    row.phase = op.phase == Phase::forward          ? "forward"
                : op.phase == Phase::input_gradient ? "input_gradient"
                                                    : "weight_gradient";
    row.format = to_string(op.format);
    row.bound = to_string(cost.bound);
    row.calls = calls;
    row.time_s = detail::operator_seconds(op, model_, rules_);
    row.flops = cost.flops.raw();
    row.bytes = cost.bytes.raw();
    row.peak_flops_per_s = cost.peak.raw();
    operators_.push_back(std::move(row));
  }
}

void Planner::set_host(PieceTimes& times, const Layer& layer, bool again) const {
  const double tp = static_cast<double>(s_.parallelism.tp);
  double forward = s_.stack.at("host_per_layer_forward_s");
  if (layer.ffn.kind == workloads::FfnKind::moe) {
    forward += s_.stack.at("host_per_moe_layer_forward_s");
  }
  double pair = 0;
  if (s_.parallelism.tp > 1) {
    const bool over_nodes = s_.parallelism.pp > 1 && s_.cluster.count > s_.cluster.scale_up_domain;
    pair = over_nodes ? tp * s_.stack.at("host_per_layer_pair_pipelined_per_tp_s")
                      : s_.stack.at("host_per_layer_pair_s");
  }
  const double share = rules_.host_share;
  const double whole = 1 + kBackwardHost;
  times.forward.host += Seconds(share * std::max(forward, pair / whole));
  times.backward_input.host += Seconds(share * kBackwardHost * std::max(forward, pair / whole));
  if (again) times.recompute.host += Seconds(share * forward);
}

/// Weights are gathered layer by layer in every micro-batch, unless the stack gathers them once a
/// step and keeps them.
bool Planner::gathers_per_layer() const {
  const Sharding how = s_.parallelism.sharding;
  return (how == Sharding::fsdp || how == Sharding::zero3) && !s_.stack.flag("fsdp_keeps_weights");
}

/// Gathers of a layer's weights and the reduction of its gradients, in every micro-batch.
void Planner::add_fsdp(PieceTimes& times, KindSeconds& seconds, const StageParameters& p) const {
  if (!gathers_per_layer()) return;
  const ShardGroups groups = shard_groups(s_.parallelism);
  const workloads::Parallelism& par = s_.parallelism;
  Precision reduced = s_.precision;
  if (s_.stack.flag("fsdp_reduce_16_bit")) reduced.gradients = {Format::bf16, 0};
  double gather = 0, reduce = 0;
  const auto add = [&](double parameters, double ranks, long stride) {
    if (parameters <= 0 || ranks <= 1) return;
    const long n = static_cast<long>(ranks);
    gather += collective(workloads::parameter_all_gather(parameters, s_.precision, n, stride));
    reduce += collective(workloads::gradient_reduce_scatter(parameters, reduced, n, stride));
  };
  add(p.dense, groups.dense, par.tp);
  add(p.experts, groups.experts, par.ep * par.etp);
  const double slow = s_.stack.at("fsdp_contention");
  const auto put = [slow](PassTimes& pass, double comm, double compute) {
    pass.dp = {Seconds(slow * std::min(comm, compute)), Seconds(comm)};
  };
  put(times.forward, gather, times.forward.compute.raw());
  const double backward =
      (times.backward_input.compute + times.backward_weight.compute + times.recompute.compute)
          .raw();
  const double comm = gather + reduce;
  put(times.backward_input, comm, backward);
  // The whole backward hides it, not its input half alone.
  const Seconds other = times.backward_weight.compute + times.recompute.compute;
  times.backward_input.dp.hidden = std::max(Seconds(0), times.backward_input.dp.hidden - other);
  seconds[static_cast<std::size_t>(Kind::fsdp)] += 2 * gather + reduce;
}

const Piece& Planner::layer_piece(const Layer& layer, bool again) {
  for (const Known& k : known_) {
    if (k.again == again && *k.layer == layer) return k.piece;
  }
  const bool moe = layer.ffn.kind == workloads::FfnKind::moe;
  const std::string name = moe ? "moe_layer" : "layer";
  Piece p = piece(name, workloads::layer_forward(s_.model, layer, context_),
                  workloads::layer_backward(s_.model, layer, context_), again,
                  report_ ? name : std::string());
  set_host(p.times, layer, again && s_.train.recompute == Recompute::full);
  const StageParameters parameters = layer_parameters(s_.model, s_.parallelism, layer);
  p.times.parameters = parameters.total();
  add_fsdp(p.times, p.seconds, parameters);
  known_.push_back({&layer, again, std::move(p)});
  return known_.back().piece;
}

void Planner::add_data_parallel(const StageLayout& layout, StageTimes& out) const {
  const workloads::Parallelism& par = s_.parallelism;
  const StageParameters p = stage_parameters(s_.model, par, layout);
  const ShardGroups groups = shard_groups(par);
  const bool whole = par.sharding == Sharding::none;
  const double updated = whole ? p.total() : p.dense / groups.dense + p.experts / groups.experts;
  const Operator update = workloads::optimizer_update(updated, s_.precision, moments());
  const double scale = s_.stack.at("optimizer_bytes_per_parameter") / 30;
  out.optimizer_step = Seconds(scale * collective(update));
  if (gathers_per_layer()) return;
  double reduce = 0, gather = 0;
  const auto add = [&](double parameters, double ranks, long stride) {
    if (parameters <= 0 || ranks <= 1) return;
    const long n = static_cast<long>(ranks);
    const bool all = whole || s_.stack.flag("sharded_all_reduce");
    reduce +=
        collective(all ? workloads::gradient_all_reduce(parameters, s_.precision, n, stride)
                       : workloads::gradient_reduce_scatter(parameters, s_.precision, n, stride));
    if (whole) return;
    gather += collective(workloads::parameter_all_gather(parameters, s_.precision, n, stride));
  };
  add(p.dense, static_cast<double>(par.dp * par.cp), par.tp);
  add(p.experts, static_cast<double>(par.expert_dp()), par.ep * par.etp);
  out.gradient_reduce = Seconds(reduce);
  out.parameter_gather = Seconds(gather);
}

int Planner::moments() const {
  switch (s_.train.optimizer) {
    case Optimizer::adamw: return 2;
    case Optimizer::muon: return 1;
    case Optimizer::sgd: return 0;
  }
  return 2;
}

StageTimes Planner::stage(const StageLayout& layout, KindSeconds& seconds) {
  StageTimes out;
  const auto push = [&](const Piece& p) {
    for (std::size_t i = 0; i < detail::kKinds; ++i) seconds[i] += p.seconds[i];
    if (!out.pieces.empty() && &p == last_) {
      ++out.pieces.back().repeat;
    } else {
      out.pieces.push_back(p.times);
    }
    last_ = &p;
  };
  last_ = nullptr;
  if (layout.embedding) push(embedding());
  const bool full = s_.train.recompute == Recompute::full;
  const long again = full ? s_.train.recompute_layers.value_or(layout.layers) : 0;
  for (long i = 0; i < layout.layers; ++i) {
    push(layer_piece(s_.model.layers[static_cast<std::size_t>(layout.first_layer + i)], i < again));
  }
  for (long i = 0; i < layout.mtp_modules; ++i) push(mtp());
  if (layout.head) push(head());
  add_data_parallel(layout, out);
  return out;
}

/// Parameters of the embedding or the head on the rank.
double Planner::table() const {
  return static_cast<double>(s_.model.hidden) * static_cast<double>(s_.model.vocab) /
         static_cast<double>(s_.parallelism.tp);
}

const Piece& Planner::embedding() {
  if (!embedding_) {
    embedding_ = piece("embedding", workloads::embedding_forward(s_.model, context_),
                       workloads::embedding_backward(s_.model, context_), false, "embedding");
    embedding_->times.parameters = table();
  }
  return *embedding_;
}

const Piece& Planner::head() {
  if (!head_) {
    head_ = piece("head", workloads::head_forward(s_.model, context_),
                  workloads::head_backward(s_.model, context_), false, "head");
    head_->times.parameters = s_.model.tied_embeddings && s_.parallelism.pp == 1 ? 0 : table();
  }
  return *head_;
}

const Piece& Planner::mtp() {
  if (!mtp_) {
    mtp_ = piece("mtp", workloads::mtp_forward(s_.model, context_),
                 workloads::mtp_backward(s_.model, context_), s_.train.recompute == Recompute::full,
                 "mtp");
    const Layer& layer = workloads::mtp_layer(s_.model);
    set_host(mtp_->times, layer, false);
    mtp_->times.parameters = layer_parameters(s_.model, s_.parallelism, layer).total();
  }
  return *mtp_;
}

/// Groups are laid out tensor, context, data (experts inside), pipeline: the last is the farthest.
CrossesDomain crossings(const Scenario& s) {
  const workloads::Parallelism& par = s.parallelism;
  const long domain = s.cluster.scale_up_domain;
  const long inner = par.tp * par.cp;
  CrossesDomain out;
  out.tensor = inner > domain;
  out.expert = par.ep > 1 && par.ep * par.etp > domain;
  out.data = inner * par.dp > domain;
  out.send = par.pp > 1 && inner * par.dp >= domain;
  return out;
}

double pipelined(const Scenario& s) {
  return s.train.overlap.pp.value_or(true) ? s.stack.at("pp_overlap") : 0.0;
}

/// Every tensor-parallel rank sends its share and the receivers gather it inside the node
/// (Megatron's scatter-gather sends, arXiv 2104.04473 section 4.1), with or without sequence
/// parallelism.
Operator Planner::send() const {
  Operator op = workloads::stage_transfer(s_.model, context_);
  if (!s_.parallelism.sp) {
    std::get<workloads::Collective>(op.shape).bytes /= static_cast<double>(s_.parallelism.tp);
  }
  return op;
}

/// FLOPs and bytes of a step, recompute apart.
void Planner::add_totals(TrainingPlanReport& out) const {
  const double n = static_cast<double>(out.plan.micro_batches);
  double again = 0;
  for (const StageTimes& stage : out.plan.stages) {
    for (const PieceTimes& p : stage.pieces) {
      const double times = n * static_cast<double>(p.repeat);
      for (const PassTimes* pass :
           {&p.forward, &p.backward_input, &p.backward_weight, &p.recompute}) {
        out.rank_flops += times * pass->flops.raw();
        out.rank_bytes += times * pass->hbm.raw();
      }
      again += times * p.recompute.flops.raw();
    }
  }
  const workloads::Parallelism& par = s_.parallelism;
  const double pp = static_cast<double>(par.pp);
  out.rank_flops /= pp;
  out.rank_bytes /= pp;
  const double tokens = s_.train.global_batch_sequences * s_.train.sequence_length;
  out.recompute_flops_per_token = again * static_cast<double>(par.tp * par.cp * par.dp) / tokens;
}

/// A step that needs more than the device has, and runs all the same, does so because its caching
/// allocator gives cached blocks back and maps them anew. Every micro-batch after the pipeline's
/// warm-up does so with the activations of the worst rank: forwards and backwards alternate there,
/// and what one leaves does not fit the other. (Torch's caching allocator, cudaMalloc retries.)
Seconds Planner::allocator_retries(const TrainingPlan& plan) const {
  const double rate = s_.stack.at("allocator_remap_bytes_per_s");
  const double steady = static_cast<double>(plan.micro_batches - plan.ranks);
  if (!(rate > 0) || steady <= 0) return Seconds(0);
  const TrainingMemory memory = training_memory(s_);
  if (memory.fits()) return Seconds(0);
  return Seconds(steady * (memory.peak().activations + memory.peak().logits).raw() / rate);
}

TrainingPlanReport Planner::build() {
  TrainingPlanReport out;
  TrainingPlan& plan = out.plan;
  const workloads::Parallelism& par = s_.parallelism;
  known_.reserve(2 * s_.model.layers.size());
  plan.schedule = s_.train.schedule;
  plan.ranks = par.pp;
  plan.chunks = par.vpp;
  plan.micro_batches = std::lround(s_.train.global_batch_sequences /
                                   (s_.train.micro_batch_sequences * static_cast<double>(par.dp)));
  for (const StageLayout& layout : stage_layout(s_)) {
    KindSeconds seconds{};
    plan.stages.push_back(stage(layout, seconds));
    if (s_.train.offload_layers > 0) {
      plan.stages.back().offload =
          stage_footprint(s_, layout).offloaded / hwmodels::host_link(s_.cluster.accelerator);
    }
    StageKinds kinds;
    for (std::size_t i = 0; i < detail::kKinds; ++i) {
      kinds.seconds.emplace_back(detail::to_string(static_cast<Kind>(i)), seconds[i]);
    }
    out.kinds.push_back(std::move(kinds));
  }
  add_totals(out);
  plan.crosses = crossings(s_);
  if (par.pp > 1) plan.p2p = Seconds(collective(send()));
  plan.p2p_overlap = pipelined(s_);
  const double dp = s_.train.overlap.dp.value_or(true) ? s_.stack.at("dp_overlap") : 0.0;
  plan.dp_overlap = dp;
  // An optimizer that updates its shard and hands it on at once gathers before the next forward.
  plan.gather_overlap = s_.stack.flag("sharded_all_reduce") ? 0 : dp;
  plan.pair_overlap = s_.train.overlap.ep.value_or(true) ? s_.stack.at("ep_overlap") : 0.0;
  if (plan.schedule == Schedule::dualpipe) {
    plan.held_units = s_.stack.at("engine.exchange_units");
    plan.compute_units = s_.cluster.accelerator.require("compute_units");
  }
  plan.host_per_micro_batch = Seconds(rules_.host_share * s_.stack.at("host_per_micro_batch_s"));
  plan.host_per_step = Seconds(s_.stack.at("step_fixed_s")) + allocator_retries(plan);
  out.operators = std::move(operators_);
  return out;
}

}  // namespace

TrainingPlan plan_training(const Scenario& scenario) {
  return plan_training_with_report(scenario).plan;
}

TrainingPlanReport plan_training_with_report(const Scenario& scenario) {
  return Planner(scenario).build();
}

}  // namespace jevons::sim
