// Expert-parallel dispatch and combine.
//
// T tokens per rank, k = top_k, E experts, H hidden, N nodes, R ranks; d bytes per copy (dispatch
// H b + scales + 16 header, combine H b). D(g): distinct groups a token hits (without replacement).
// Low latency: one message per (token, expert), no de-duplication:
//   T = f0 + f_E min(E, E_max) + f_N (1 + log2 N)[N > 1]
//       + max(T k d/B_link, T k d (N-1)/N / B_rdma [N > 1], SM),
//   SM = (T/min(E, SMs)) tau (dispatch) | T k d/(min(E, SMs) b) (combine)
// Throughput: T = f0 + f_N log2 N + t + 2 sqrt(gamma t)
//   N = 1: t = max(T D(R) d/(s1 SMs), T D(R) d/B_link)
//   N > 1: t = max(T (D(R) + D(N)) d/(s2 SMs), T D(R) d/B_link, T D(N) (N-1)/N d/B_rdma x c_N)
// One-sided inside a rack: T = max(f, a + T k H b (R-1)/R / B).
// Source: DeepEP tables of H100 and B200 (ai-dynamo/aiconfigurator, SGLang 0.5.6 and 0.5.12),
// TensorRT-LLM tech blog 18 (GB200), DeepEP README (H800). Known error: low latency 2-5 % MAPE,
// throughput 5 %, one-sided 4 %.
#include "kernel_cost.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>

namespace jevons::sim {
namespace {

using workloads::MoeExchange;

constexpr double kPolledByCombine = 256;   // experts
constexpr double kHeader = 16;             // bytes of a dispatched copy
constexpr double kBlockScale = 4.0 / 128;  // fp32 scale per 128 elements
constexpr double kCongestedRanks = 64;     // measured: half of the NIC without a group limit

struct Exchange {
  double tokens, top_k, experts, ranks, nodes, copy, units;
  std::size_t i;  ///< 0 dispatch, 1 combine
};

Exchange describe(const MoeExchange& s, const KernelConstants& c) {
  Exchange x{};
  x.tokens = s.tokens;
  x.top_k = s.top_k;
  x.experts = s.experts;
  x.ranks = static_cast<double>(s.ranks);
  const auto inside =
      static_cast<double>(std::max(1L, c.cluster.ranks_in_domain(s.ranks, s.stride)));
  x.nodes = whole(x.ranks / std::min(x.ranks, inside));
  x.i = s.combine ? 1 : 0;
  // One byte per element is fp8 with a scale per 128; other widths carry their scales already.
  const bool block = !s.combine && s.bytes_per_element == 1.0;
  x.copy =
      s.hidden * s.bytes_per_element * (block ? 1 + kBlockScale : 1) + (s.combine ? 0 : kHeader);
  x.units = s.sms > 0 ? s.sms : c.exchange.units;
  return x;
}

double link_rate(const KernelConstants& c) {
  if (c.link > 0) return c.link;
  throw bad_input("accelerator " + c.accelerator_id,
                  "an expert exchange needs the figure scale_up_bytes_per_s, which is unknown");
}

double nic_rate(const Exchange& x, const KernelConstants& c) {
  if (c.nic > 0) return c.nic * c.cluster.scale_out_share(x.nodes, true);
  throw bad_input("accelerator " + c.accelerator_id,
                  "an expert exchange across nodes needs scale_out_bytes_per_s, which is unknown");
}

double low_latency(const Exchange& x, const KernelConstants& c, Formula* formula) {
  const ExchangeConstants& e = c.exchange;
  const double bytes = x.tokens * x.top_k * x.copy;
  const double hops = x.nodes > 1 ? std::log2(x.nodes) : 0;
  if (e.ll_nvlink < 0.5) {  // every message through the NIC, even inside a node
    const double total = bytes / (e.ll_net[x.i] * nic_rate(x, c)) + e.rdma_only_step[x.i] * hops;
    if (formula != nullptr)
      formula->line("T = bytes/B_rdma + step log2 N",
                    {{"T us", total}, {"bytes MB", bytes * 1e-6}});
    return total;
  }
  const double polled = x.i == 1 ? std::min(x.experts, kPolledByCombine) : x.experts;
  const double floor =
      e.ll_floor[x.i] + e.ll_expert * polled + (x.nodes > 1 ? e.ll_node[x.i] * (1 + hops) : 0);
  const double link = std::min(e.ll_link[x.i] * link_rate(c), e.ll_cap[x.i] * 1e3);
  const double local = bytes / link;
  const double remote =
      x.nodes > 1 ? bytes * (x.nodes - 1) / x.nodes / (e.ll_net[x.i] * nic_rate(x, c)) : 0;
  const double workers = std::min(x.experts, c.units);
  const double unit =
      x.i == 1 ? bytes / (workers * e.ll_unit[1] * 1e3) : x.tokens / workers * e.ll_unit[0];
  const double total = floor + std::max({local, remote, unit});
  if (formula != nullptr) {
    formula->line("T = floor + max(link, network, SM)", {{"T us", total},
                                                         {"floor us", floor},
                                                         {"link us", local},
                                                         {"network us", remote},
                                                         {"SM us", unit},
                                                         {"bytes MB", bytes * 1e-6},
                                                         {"nodes", x.nodes}});
  }
  return total;
}

double throughput(const Exchange& x, double group_limit, const KernelConstants& c,
                  Formula* formula) {
  const ExchangeConstants& e = c.exchange;
  const double limit = group_limit > 0 && group_limit < x.nodes ? group_limit : 0;
  const double nodes_hit = workloads::expected_distinct_groups(x.experts, x.top_k, x.nodes, limit);
  const double ranks_hit = workloads::expected_distinct_groups(x.experts, x.top_k, x.ranks, 0);
  const double link = e.link * link_rate(c);
  const double local = x.tokens * ranks_hit * x.copy / link;
  double unit = 0;
  double remote = 0;
  if (x.nodes > 1) {
    unit = x.tokens * (ranks_hit + nodes_hit) * x.copy / (e.unit_many[x.i] * 1e3 * x.units);
    const bool congested = x.ranks >= kCongestedRanks && (group_limit <= 0 || group_limit > 4);
    remote = x.tokens * nodes_hit * (x.nodes - 1) / x.nodes * x.copy / (e.net * nic_rate(x, c)) *
             (congested ? e.congestion[x.i] : 1);
  } else {
    unit = x.tokens * ranks_hit * x.copy / (e.unit_one[x.i] * 1e3 * x.units);
  }
  const double hops = x.nodes > 1 ? std::log2(x.nodes) : 0;
  const double floor = e.floor[x.i] + e.node[x.i] * hops;
  const double total = floor + ramped(std::max({unit, local, remote}), e.ramp[x.i]);
  if (formula != nullptr) {
    formula->line("T = floor + t + 2 sqrt(gamma t), t = max(SM, link, network)",
                  {{"T us", total},
                   {"floor us", floor},
                   {"SM us", unit},
                   {"link us", local},
                   {"network us", remote},
                   {"distinct ranks", ranks_hit},
                   {"distinct nodes", nodes_hit},
                   {"SMs", x.units}});
  }
  return total;
}

double one_sided(const Exchange& x, const KernelConstants& c, Formula* formula) {
  const ExchangeConstants& e = c.exchange;
  const double wire = x.tokens * x.top_k * x.copy * (x.ranks - 1) / x.ranks;
  const double time = e.one_sided_start[x.i] + wire / (e.one_sided_rate[x.i] * link_rate(c));
  const double total = std::max(e.one_sided_floor[x.i], time);
  if (formula != nullptr) {
    formula->line("T = max(f, a + wire/B)", {{"T us", total}, {"wire MB", wire * 1e-6}});
  }
  return total;
}

}  // namespace

KernelTime exchange_time(const MoeExchange& s, const KernelConstants& c, Formula* formula) {
  KernelTime t;
  t.network = true;
  if (s.ranks <= 1 || s.tokens <= 0) return t;
  const auto time = [&](const Exchange& x, Formula* f) {
    if (c.exchange.one_sided > 0.5 && x.nodes <= 1) return one_sided(x, c, f);
    return s.low_latency ? low_latency(x, c, f) : throughput(x, s.group_limit, c, f);
  };
  Exchange x = describe(s, c);
  t.total = time(x, formula);
  x.tokens = 1e-6;
  t.floor = std::min(t.total, time(x, nullptr));
  t.memory = t.total - t.floor;
  return t;
}

}  // namespace jevons::sim
