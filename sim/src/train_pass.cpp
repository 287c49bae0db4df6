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

double seconds_of(const Operator& op, Kind kind, const OperatorModel& model,
                  const PassRules& rules) {
  const RunConditions run{.cold_weights = true, .held_units = 0};
  if (kind == Kind::ep && !rules.deduplicate && std::holds_alternative<MoeExchange>(op.shape)) {
    return model.cost(plain_exchange(op), run).time.raw();
  }
  const double t = model.cost(op, run).time.raw();
  switch (kind) {
    case Kind::gemm:
    case Kind::experts: return t / rules.gemm_scale;
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
  if (!pairs) r.ep_hidden = share(s.train.overlap.ep, s.stack, "ep_overlap");
  const double clock = capped_clock(s);
  r.gemm_scale = clock * s.stack.at("gemm_efficiency_scale");
  r.attention_scale = clock * s.stack.at("attention_efficiency_scale");
  if (s.stack.at("flash_attention_generation") < 2.5 &&
      s.cluster.accelerator.generation != "ampere") {
    r.attention_scale *= s.stack.at("flash_attention_2_rate");
  }
  r.elementwise_scale = s.stack.at("elementwise_efficiency_scale");
  r.deduplicate = s.stack.flag("node_deduplication");
  r.host_share = captured(s) ? 0 : 1;
  r.host_per_collective = r.host_share * s.stack.at("host_per_collective_s");
  return r;
}

PassCost pass_cost(const workloads::OperatorGraph& graph, const Chosen& chosen,
                   const OperatorModel& model, const PassRules& rules) {
  PassCost out;
  double flops = 0, hbm = 0;
  for (const Operator& op : graph.operators) {
    if (!chosen(op)) continue;
    const Kind kind = kind_of(op);
    const double t = seconds_of(op, kind, model, rules);
    out.seconds[static_cast<std::size_t>(kind)] += t;
    if (kind == Kind::tp || kind == Kind::cp || kind == Kind::ep) {
      out.collectives += 1;
      continue;
    }
    const workloads::Work work = workloads::work_of(op);
    if (kind != Kind::elementwise) flops += work.flops;
    hbm += work.total_bytes();
    if (kind == Kind::attention) out.attention += t;
  }
  const auto at = [&out](Kind k) { return out.seconds[static_cast<std::size_t>(k)]; };
  PassTimes& p = out.times;
  p.compute =
      Seconds(at(Kind::gemm) + at(Kind::experts) + at(Kind::attention) + at(Kind::elementwise));
  p.tp = {Seconds((1 - rules.tp_hidden) * at(Kind::tp)), Seconds(rules.tp_hidden * at(Kind::tp))};
  const double ring = std::min(at(Kind::cp), kRingWindow * out.attention);
  p.cp = {Seconds(at(Kind::cp) - ring), Seconds(ring)};
  p.ep = {Seconds((1 - rules.ep_hidden) * at(Kind::ep)), Seconds(rules.ep_hidden * at(Kind::ep))};
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
