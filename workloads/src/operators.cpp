// FLOPs and bytes of operators.
//
// FLOPs: a multiply-add is two. Attention forward 2 h q S (qk + v), S = mean keys; backward is five
// products for the forward's two (scores again, dV, dP, dQ, dK): 2 h q S (3 qk + 2 v), 2.5 x the
// forward when the widths are equal, 2.6 x for MLA's 192/128. Absorbed MLA 2 h (2 ck + r) S.
// Experts 6 rows d m (gated). Bytes are those of a kernel that reads every operand and writes its
// result once; reuse misses are the cost model's business. Exact by definition; the expectation of
// distinct experts assumes independent tokens with equally popular experts.
#include "jevons/workloads/operators.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <type_traits>

namespace jevons::workloads {
namespace {

constexpr std::size_t index(TensorClass c) {
  return static_cast<std::size_t>(c);
}

constexpr double kStatistics = 4;  ///< bytes: fp32 log-sum-exp of a query and head

/// Queries, outputs and kernel results are 16 bit unless the job computes in fp32.
double wide_bytes(NumberFormat format) {
  return format.format == Format::fp32 || format.format == Format::tf32 ? 4 : 2;
}

void add(Work& work, TensorClass c, double bytes) {
  work.bytes[index(c)] += bytes;
}

Work work(const Gemm& g, const Operator& op) {
  Work w;
  w.flops = 2 * g.m * g.n * g.k * g.groups;
  add(w, TensorClass::activations, g.groups * g.m * g.k * activation_bytes(op.activation_format));
  const double second = g.groups * g.k * g.n;
  const double product = g.groups * g.m * g.n * g.output_bytes;
  if (g.weight_gradient) {
    add(w, TensorClass::activations, second * activation_bytes(op.activation_format));
    add(w, TensorClass::gradients, product);
  } else {
    add(w, TensorClass::weights, second * weight_bytes(op.weight_format));
    add(w, TensorClass::activations, product);
  }
  return w;
}

/// Pairs of query and key of one head. Decoding counts whole contexts either way; with keys ahead
/// the queries are the last of all the keys cached.
double pairs(const AttentionCore& a, Counting counting) {
  const bool decode = a.phase == AttentionPhase::decode;
  if (counting == Counting::exact && (!decode || a.ahead > 0)) {
    return pairs_seen(a.q_len, a.kv_len + a.ahead, a.window, a.causal);
  }
  const double seen = a.window > 0 ? std::min(a.kv_len, a.window) : a.kv_len;
  return a.q_len * (decode ? seen : mean_keys_seen(a.q_len, a.kv_len, a.window, a.causal));
}

Work work(const AttentionCore& a, const Operator& op, Counting counting) {
  const bool decode = a.phase == AttentionPhase::decode;
  const bool backward = a.phase == AttentionPhase::backward;
  const double held = a.kv_len + a.ahead;
  const double limit = a.window > 0 ? a.window : held;
  const double widths = backward ? 3 * a.qk_dim + 2 * a.v_dim : a.qk_dim + a.v_dim;
  Work w;
  w.flops = 2 * a.batch * a.heads * pairs(a, counting) * widths;
  const double touched =
      std::min(held, limit + a.q_len - 1);  // windows of successive queries overlap
  const double passes = backward ? 2 : 1;   // read each operand, write its gradient
  const double kv = a.batch * a.kv_heads * touched * (a.qk_dim + a.v_dim) * passes *
                    activation_bytes(op.activation_format);
  add(w, decode ? TensorClass::kv_cache : TensorClass::activations, kv);
  const double wide = wide_bytes(op.format);
  const double query = a.batch * a.heads * a.q_len;
  add(w, TensorClass::activations,
      query * ((a.qk_dim + a.v_dim) * passes * wide + (decode ? 0 : kStatistics)));
  return w;
}

Work work(const MlaDecode& a, const Operator& op, Counting counting) {
  const double qk = a.kv_lora_rank + a.rope_dim;
  const double widths = a.backward ? 3 * qk + 2 * a.kv_lora_rank : qk + a.kv_lora_rank;
  const double passes = a.backward ? 2 : 1;
  const double held = a.kv_len + a.ahead;
  const double seen = counting == Counting::exact && a.ahead > 0
                          ? pairs_seen(a.q_len, held, 0, true)
                          : a.q_len * a.kv_len;
  Work w;
  w.flops = 2 * a.batch * a.heads * seen * widths;
  const double caches = a.sparse ? a.batch * a.q_len : a.batch;
  add(w, TensorClass::kv_cache,
      caches * held * qk * passes * activation_bytes(op.activation_format));
  add(w, TensorClass::activations,
      a.batch * a.heads * a.q_len * (qk + a.kv_lora_rank) * passes * wide_bytes(op.format));
  return w;
}

Work work(const Copy& c, const Operator&) {
  Work w;
  add(w, TensorClass::activations, 2 * c.bytes);
  return w;
}

Work work(const Elementwise& e, const Operator& op) {
  Work w;
  w.flops = e.flops;
  add(w, op.phase == Phase::optimizer ? TensorClass::optimizer : TensorClass::activations,
      e.bytes_read + e.bytes_written);
  return w;
}

Work work(const Scan& s, const Operator&) {
  Work w;
  w.flops = s.flops;
  add(w, TensorClass::activations, s.bytes);
  add(w, TensorClass::kv_cache, s.state_bytes);
  return w;
}

Work work(const Collective& c, const Operator&) {
  Work w;
  add(w, TensorClass::network, c.bytes);
  return w;
}

/// One copy per expert in low-latency kernels, one per distinct rank otherwise.
Work work(const MoeExchange& x, const Operator&) {
  const double ranks = static_cast<double>(x.ranks);
  const double copies =
      x.low_latency ? x.top_k : expected_distinct_groups(x.experts, x.top_k, ranks, 0);
  Work w;
  add(w, TensorClass::network, x.tokens * copies * x.hidden * x.bytes_per_element);
  return w;
}

Work work(const MoeExperts& e, const Operator& op) {
  const double rows = expert_rows(e);
  const double width = e.intermediate / static_cast<double>(e.etp);
  const double up = e.gated ? 2 : 1;
  const double matrices = up + 1;
  const double low = activation_bytes(op.activation_format);
  Work w;
  w.flops = 2 * matrices * rows * e.hidden * width;
  const double weights = experts_hit(e) * matrices * e.hidden * width;
  if (e.backward_weight) {
    constexpr double kAccumulate = 8;  // fp32 gradient read and written
    add(w, TensorClass::gradients, weights * kAccumulate);
    add(w, TensorClass::activations, rows * (2 * e.hidden + matrices * width) * low);
  } else {
    add(w, TensorClass::weights, weights * weight_bytes(op.weight_format));
    add(w, TensorClass::activations,
        rows * ((e.hidden + width) * low + (up * width + e.hidden) * wide_bytes(op.format)));
  }
  return w;
}

std::string_view collective_name(CollectiveKind kind) {
  switch (kind) {
    case CollectiveKind::all_reduce: return "all_reduce";
    case CollectiveKind::all_gather: return "all_gather";
    case CollectiveKind::reduce_scatter: return "reduce_scatter";
    case CollectiveKind::all_to_all: return "all_to_all";
    case CollectiveKind::p2p: return "p2p";
  }
  return "";
}

}  // namespace

double Work::total_bytes() const {
  return std::accumulate(bytes.begin(), bytes.end(), 0.0);
}

Work work_of(const Operator& op, Counting counting) {
  return std::visit(
      [&](const auto& shape) {
        using T = std::decay_t<decltype(shape)>;
        if constexpr (std::is_same_v<T, AttentionCore> || std::is_same_v<T, MlaDecode>) {
          return work(shape, op, counting);
        } else {
          return work(shape, op);
        }
      },
      op.shape);
}

double pairs_seen(double queries, double keys, double window, bool causal) {
  if (!causal) return queries * (window > 0 ? std::min(keys, window) : keys);
  const double first = keys - queries;
  const double limit = window > 0 ? std::min(window, keys) : keys;
  if (limit <= first) return queries * limit;
  return (limit - first) * (limit + first + 1) / 2 + (keys - limit) * limit;
}

double mean_keys_seen(double queries, double keys, double window, bool causal) {
  if (!causal) return window > 0 ? std::min(keys, window) : keys;
  const double first = keys - queries;
  if (window <= 0 || window >= keys) return (first + keys) / 2;
  if (window <= first) return window;
  // Positions up to the window see everything before them, later ones the window.
  const double ramp = (window - first) * (window + first) / 2;
  return (ramp + (keys - window) * window) / queries;
}

double expected_distinct_experts(double experts, double top_k, double tokens) {
  if (top_k >= experts) return tokens > 0 ? experts : 0;
  return -experts * std::expm1(tokens * std::log1p(-top_k / experts));
}

double expected_distinct_groups(double experts, double top_k, double groups, double group_limit) {
  const double allowed = group_limit > 0 ? std::min(group_limit, groups) : groups;
  if (allowed <= 1) return allowed;
  const double all = experts / groups * allowed;  // experts the k are drawn from
  const double others = all - experts / groups;   // those outside one group
  double missed = 1;                              // C(others, k) / C(all, k)
  for (double i = 0; i < top_k; ++i) missed *= std::max(0.0, others - i) / (all - i);
  return allowed * (1 - missed);
}

double expert_rows(const MoeExperts& e) {
  const double load = e.load_max_over_mean > 0 ? e.load_max_over_mean : 1;
  return e.tokens * e.top_k / static_cast<double>(e.ep) * load;
}

double experts_hit(const MoeExperts& e) {
  const double slots = e.experts + e.redundant;
  const double ep = static_cast<double>(e.ep);
  if (e.routing == Routing::balanced) {
    return std::min(slots / ep, std::max(expert_rows(e), e.tokens > 0 ? 1.0 : 0.0));
  }
  return expected_distinct_experts(slots, e.top_k, e.tokens) / ep;
}

std::string_view to_string(Module module) {
  switch (module) {
    case Module::other: return "other";
    case Module::norm: return "norm";
    case Module::attention_proj: return "attention_proj";
    case Module::mla_up_proj: return "mla_up_proj";
    case Module::attention_core: return "attention_core";
    case Module::indexer: return "indexer";
    case Module::mlp: return "mlp";
    case Module::router: return "router";
    case Module::moe_act: return "moe_act";
    case Module::experts: return "experts";
    case Module::shared_experts: return "shared_experts";
    case Module::exchange: return "exchange";
    case Module::embedding: return "embedding";
    case Module::head: return "head";
    case Module::mtp_proj: return "mtp_proj";
    case Module::optimizer: return "optimizer";
    case Module::reduction: return "reduction";
  }
  return "";
}

bool recomputed(Module module, std::string_view name) {
  return name == "layer" || name == to_string(module);
}

std::string_view kind_name(const Shape& shape) {
  return std::visit(
      [](const auto& s) -> std::string_view {
        using T = std::decay_t<decltype(s)>;
        if constexpr (std::is_same_v<T, Gemm>) {
          return s.groups > 1 ? "grouped_gemm" : "gemm";
        } else if constexpr (std::is_same_v<T, AttentionCore>) {
          return "attention";
        } else if constexpr (std::is_same_v<T, MlaDecode>) {
          return "mla_decode";
        } else if constexpr (std::is_same_v<T, Copy>) {
          return "copy";
        } else if constexpr (std::is_same_v<T, Elementwise>) {
          return "elementwise";
        } else if constexpr (std::is_same_v<T, Scan>) {
          return "scan";
        } else if constexpr (std::is_same_v<T, Collective>) {
          return collective_name(s.kind);
        } else if constexpr (std::is_same_v<T, MoeExchange>) {
          return s.combine ? "moe_combine" : "moe_dispatch";
        } else {
          return "moe_experts";
        }
      },
      shape);
}

}  // namespace jevons::workloads
