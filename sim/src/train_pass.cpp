#include "train_pass.hpp"

#include <algorithm>
#include <cmath>
#include <variant>

namespace jevons::sim::detail {
namespace {

using workloads::Collective;
using workloads::CollectiveKind;
using workloads::Module;
using workloads::MoeExchange;
using workloads::Operator;
using workloads::Phase;

constexpr double kRingWindow = 0.8;  ///< of the attention core, closed form of the training step

bool captured(const Scenario& s) {
  if (s.stack.flag("cuda_graphs")) return true;
  const std::string& id = s.cluster.accelerator.id;
  if (s.stack.flag("cuda_graphs_on_racks") && s.cluster.scale_up_domain > 16) return true;
  return s.stack.flag("cuda_graphs_on_blackwell_ultra") &&
         (id.starts_with("b300") || id.starts_with("gb300"));
}

Kind kind_of(const Operator& op) {
  if (std::holds_alternative<MoeExchange>(op.shape)) return Kind::ep;
  if (const auto* c = std::get_if<Collective>(&op.shape)) {
    if (op.module == Module::exchange || op.module == Module::router) return Kind::ep;
    return c->kind == CollectiveKind::p2p ? Kind::cp : Kind::tp;
  }
  if (std::holds_alternative<workloads::Gemm>(op.shape)) return Kind::gemm;
  if (std::holds_alternative<workloads::MoeExperts>(op.shape)) return Kind::experts;
  if (std::holds_alternative<workloads::AttentionCore>(op.shape) ||
      std::holds_alternative<workloads::MlaDecode>(op.shape) ||
      std::holds_alternative<workloads::Scan>(op.shape)) {
    return Kind::attention;
  }
  return Kind::elementwise;
}

/// Sustained clock by what the tensor cores burn: 16-, 8- or 4-bit.
double clock_of(const Operator& op, const PassRules& rules) {
  const double bits = payload_bits(op.format);
  return rules.clock[bits > 8 ? 0 : bits > 4 ? 1 : 2];
}

/// Without node-aware kernels every expert gets its own copy through a plain all-to-all.
Operator plain_exchange(const Operator& op) {
  const auto& x = std::get<MoeExchange>(op.shape);
  Operator plain = op;
  plain.shape = Collective{.kind = CollectiveKind::all_to_all,
                           .bytes = x.tokens * x.top_k * x.hidden * x.bytes_per_element,
                           .ranks = x.ranks,
                           .stride = x.stride};
  return plain;
}

bool is_gather(const Operator& op) {
  const auto* c = std::get_if<Collective>(&op.shape);
  return c != nullptr && c->kind == CollectiveKind::all_gather && op.phase != Phase::input_gradient;
}

/// Inputs of the next GEMM travel after their cast, one byte for two.
Operator narrow_gather(const Operator& op) {
  Operator narrow = op;
  std::get<Collective>(narrow.shape).bytes /= 2;
  return narrow;
}

/// The experts' projections as grouped GEMMs: in a training graph routing, permutation, activation
/// and casts are operators of their own, unlike in the fused layer of a serving engine.
double grouped_seconds(const Operator& op, const OperatorModel& model, RunConditions run,
                       const PassRules& rules) {
  const auto& e = std::get<workloads::MoeExperts>(op.shape);
  const double groups = e.experts / static_cast<double>(e.ep);
  const double rows = workloads::expert_rows(e) / groups;
  const double width = e.intermediate / static_cast<double>(e.etp);
  const auto one = [&](double in, double out) {
    Operator gemm = op;
    gemm.shape = e.backward_weight
                     ? workloads::Gemm{.m = in,
                                       .n = out,
                                       .k = rows,
                                       .groups = groups,
                                       .output_bytes = 8,
                                       .weight_gradient = true}
                     : workloads::Gemm{.m = rows, .n = out, .k = in, .groups = groups};
    const double clock = rules.gemm_scale * clock_of(op, rules);
    return model.cost(gemm, run).time.raw() / clock + groups * rules.per_expert;
  };
  const double up = (e.gated ? 2 : 1) * width;
  if (op.phase == Phase::input_gradient) {
    return one(up, e.hidden) + one(e.hidden, width);
  }
  return one(e.hidden, up) + one(width, e.hidden);
}

double seconds_of(const Operator& op, Kind kind, const OperatorModel& model,
                  const PassRules& rules) {
  const RunConditions run{.cold_weights = true, .held_units = 0};
  if (kind == Kind::tp && rules.low_precision_gather && is_gather(op)) {
    return model.cost(narrow_gather(op), run).time.raw();
  }
  if (kind == Kind::ep && !rules.deduplicate && std::holds_alternative<MoeExchange>(op.shape)) {
    return model.cost(plain_exchange(op), run).time.raw();
  }
  if (kind == Kind::experts) return grouped_seconds(op, model, run, rules);
  const double t = model.cost(op, run).time.raw();
  switch (kind) {
    case Kind::gemm: return t / (rules.gemm_scale * clock_of(op, rules));
    case Kind::attention: return t / rules.attention_scale;
    case Kind::elementwise: return t / rules.elementwise_scale;
    default: return t;
  }
}

/// A power cap slows arithmetic by (cap/TDP)^exponent.
double capped_clock(const Scenario& s) {
  if (!(Watts(0) < s.cluster.power_cap)) return 1;
  const double tdp = s.cluster.accelerator.require("tdp_w");
  return std::pow(s.cluster.power_cap.raw() / tdp, s.stack.at("power_cap_exponent"));
}

double share(const std::optional<bool>& wanted, const hwmodels::Stack& stack,
             std::string_view name) {
  return wanted.value_or(true) ? stack.at(name) : 0.0;
}

}  // namespace

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::gemm: return "gemm";
    case Kind::experts: return "experts";
    case Kind::attention: return "attention";
    case Kind::elementwise: return "elementwise";
    case Kind::tp: return "tensor_parallel";
    case Kind::cp: return "context_parallel";
    case Kind::ep: return "expert_parallel";
    case Kind::fsdp: return "fsdp";
  }
  return "gemm";
}

PassRules pass_rules(const Scenario& s) {
  PassRules r;
  if (s.parallelism.sp) r.tp_hidden = share(s.train.overlap.tp, s.stack, "tp_overlap");
  // DualPipe hides the exchange in pairs of passes, not inside one pass.
  const bool pairs = s.train.schedule == Schedule::dualpipe && s.parallelism.pp > 1;
  r.behind_shared_experts = !pairs && s.stack.flag("ep_overlap_needs_pairs");
  if (!pairs) r.ep_hidden = share(s.train.overlap.ep, s.stack, "ep_overlap");
  const hwmodels::Constants& chip = s.cluster.accelerator.constants;
  const double cap = capped_clock(s);
  r.clock = {cap * chip.at("training.clock"), cap * chip.at("training.clock_8bit"),
             cap * chip.at("training.clock_4bit")};
  r.per_expert = s.stack.at("grouped_gemm_per_expert_s");
  r.gemm_scale = s.stack.at("gemm_efficiency_scale");
  r.attention_scale =
      cap * chip.at("training.attention") * s.stack.at("attention_efficiency_scale");
  if (s.stack.at("flash_attention_generation") < 2.5 &&
      s.cluster.accelerator.generation != "ampere") {
    r.attention_scale *= s.stack.at("flash_attention_2_rate");
  }
  r.elementwise_scale = s.stack.at("elementwise_efficiency_scale");
  r.low_precision_gather =
      s.stack.flag("low_precision_tp_gather") && payload_bits(s.precision.gemm) <= 8;
  r.skew = s.stack.at("collective_skew_s");
  if (s.parallelism.tp > s.cluster.scale_up_domain) {
    r.ring_wait = static_cast<double>(s.parallelism.tp - 1) * s.stack.at("tp_over_nodes_step_s");
  }
  r.deduplicate = s.stack.flag("node_deduplication");
  r.host_share = captured(s) ? 0 : 1;
  r.host_per_collective = r.host_share * s.stack.at("host_per_collective_s");
  return r;
}

double operator_seconds(const Operator& op, const OperatorModel& model, const PassRules& rules) {
  const Kind kind = kind_of(op);
  double t = seconds_of(op, kind, model, rules);
  if (kind == Kind::tp || kind == Kind::ep) t += rules.skew;
  if (kind == Kind::tp) t += rules.ring_wait;
  return t;
}

PassCost pass_cost(const workloads::OperatorGraph& graph, const Chosen& chosen,
                   const OperatorModel& model, const PassRules& rules) {
  PassCost out;
  double flops = 0, hbm = 0;
  for (const Operator& op : graph.operators) {
    if (!chosen(op)) continue;
    const Kind kind = kind_of(op);
    const double t = operator_seconds(op, model, rules);
    out.seconds[static_cast<std::size_t>(kind)] += t;
    if (kind == Kind::tp || kind == Kind::cp || kind == Kind::ep) {
      out.collectives += 1;
      continue;
    }
    const workloads::Work work = workloads::work_of(op);
    if (kind != Kind::elementwise) flops += work.flops;
    hbm += work.total_bytes();
    if (kind == Kind::attention) out.attention += t;
    if (op.module == Module::shared_experts) out.shared_experts += t;
  }
  const auto at = [&out](Kind k) { return out.seconds[static_cast<std::size_t>(k)]; };
  PassTimes& p = out.times;
  p.compute =
      Seconds(at(Kind::gemm) + at(Kind::experts) + at(Kind::attention) + at(Kind::elementwise));
  p.experts = Seconds(at(Kind::experts));
  p.tp = {Seconds((1 - rules.tp_hidden) * at(Kind::tp)), Seconds(rules.tp_hidden * at(Kind::tp))};
  const double ring = std::min(at(Kind::cp), kRingWindow * out.attention);
  p.cp = {Seconds(at(Kind::cp) - ring), Seconds(ring)};
  const double beside = rules.behind_shared_experts ? std::min(at(Kind::ep), out.shared_experts)
                                                    : rules.ep_hidden * at(Kind::ep);
  p.ep = {Seconds(at(Kind::ep) - beside), Seconds(beside)};
  p.flops = Flops(flops);
  p.hbm = Bytes(hbm);
  return out;
}

Seconds gpu_time(const PassTimes& pass) {
  const Seconds beyond = std::max(Seconds(0), pass.hidden_comm() - pass.compute);
  return pass.compute + pass.exposed_comm() + beyond;
}

Seconds forward_time(const PieceTimes& piece) {
  return std::max(gpu_time(piece.forward), piece.forward.host);
}

Seconds backward_time(const PieceTimes& piece) {
  const Seconds gpu =
      gpu_time(piece.backward_input) + gpu_time(piece.backward_weight) + gpu_time(piece.recompute);
  const Seconds host =
      piece.backward_input.host + piece.backward_weight.host + piece.recompute.host;
  return std::max(gpu, host);
}

}  // namespace jevons::sim::detail
