// Collectives: inside one scale-up domain, across nodes, on meshes and tori.
//
// Switch, NCCL: T = min(LL, RING, NVLS)
//   LL   = kappa(S) (a0 + h k) + c S/B_LL        kappa 1.11 from 16 KiB; c 1.6 for all-reduce
//   t    = w/B + (S/n)/B_copy;  RING = a_s + h_s k + t + 2 sqrt(gamma t)
//   NVLS = a_nv + t' + 2 sqrt(gamma_nv t'), t' = w/B_nv: all-reduce of 16/32-bit floats, n >= 6
//   all-to-all: min(a_p + (S/n)/B_pp, a_ps + t + 2 sqrt(gamma t)), t = w/B_a
//   one-shot / two-shot all-reduce of serving engines: min(a1 + h1 log2 n + (n-1) S/B1,
//   a2 + 2 S (n-1)/(n B2))
// w: wire bytes per rank, S (n-1)/n (all-reduce twice that); k: ring steps n-1 (2(n-1)).
// Across N nodes of d ranks: the parts inside and between nodes run as one pipeline, so the slower
// wire counts (every rank drives its own NIC with 1/d of the buffer), floors add up.
// Mesh: a ring set over n-1 peer links. Torus: the injection rate of all axes; all-to-all by the
// bisection, L/4 hops an axis.
// Source: NCCL 2.29.2 tables of H100 and GB200 (ai-dynamo/aiconfigurator); known error 5.3 / 10.6 %
// (MAPE / P90) on H100, 6.9 / 14.4 on GB200. Across nodes: latencies of the DeepSeek insights
// paper, table 5, 0.95 of the NIC; not fitted (no table): +-25 %.
#include "kernel_cost.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>

namespace jevons::sim {
namespace {

using hwmodels::ScaleUpTopology;
using workloads::Collective;
using workloads::CollectiveKind;

constexpr double kLowLatencyKnee = 16384;  // bytes
constexpr double kLowLatencySlow = 1.11;
constexpr double kReduceAndGather = 1.6;  // low-latency all-reduce against one pass
constexpr double kBisection = 4;          // mean hops of a ring of L are L/4

/// How the ranks lie: d in a domain, N domains.
struct Layout {
  double ranks = 1, inside = 1, nodes = 1;
};

Layout layout(const Collective& s, const KernelConstants& c) {
  Layout l;
  l.ranks = static_cast<double>(s.ranks);
  const long inside = std::max(1L, c.cluster.ranks_in_domain(s.ranks, s.stride));
  l.inside = std::min(l.ranks, static_cast<double>(inside));
  l.nodes = whole(l.ranks / l.inside);
  return l;
}

double need(double rate, const KernelConstants& c, std::string_view figure) {
  if (rate > 0) return rate;
  throw bad_input("accelerator " + c.accelerator_id,
                  "a collective needs the figure " + std::string(figure) + ", which is unknown");
}

bool is_torus(ScaleUpTopology t) {
  return t == ScaleUpTopology::torus_2d || t == ScaleUpTopology::torus_3d ||
         t == ScaleUpTopology::ring;
}

/// Link bytes per us one rank can use among `inside` ranks.
double fabric(const KernelConstants& c, double inside) {
  const double link = need(c.link, c, "scale_up_bytes_per_s");
  if (c.peer > 0 && c.peer < link) return std::min(link, (inside - 1) * c.peer);
  return link;
}

/// Ring, low-latency ring and in-switch reduction inside one domain.
double inside_domain(const Collective& s, const workloads::Operator& op, const KernelConstants& c,
                     Formula* formula) {
  const CollectiveConstants& k = c.collective;
  const auto n = static_cast<double>(s.ranks);
  const bool reduce_all = s.kind == CollectiveKind::all_reduce;
  const double passes = reduce_all ? 2 : 1;
  const double link = fabric(c, n);
  const double wire = passes * s.bytes * (n - 1) / n;
  const double steps = passes * (n - 1);
  const double kappa = s.bytes < kLowLatencyKnee ? 1 : kLowLatencySlow;
  const double low = kappa * (k.ll_floor + k.ll_step * steps) +
                     (reduce_all ? kReduceAndGather : 1) * s.bytes / (k.ll_rate * link);
  const double t = wire / (k.ring_rate * link) + s.bytes / n / (k.copy_rate * c.memory);
  const double ring = k.ring_floor + k.ring_step * steps + ramped(t, k.ramp);
  double best = std::min(low, ring);
  double in_switch = 0;
  const bool sixteen = payload_bits(op.format) >= 16;
  if (reduce_all && sixteen && n >= k.nvls_ranks && c.cluster.accelerator.has_nvls()) {
    in_switch = k.nvls_floor + ramped(wire / (k.nvls_rate * link), k.nvls_ramp);
    best = std::min(best, in_switch);
  }
  if (formula != nullptr) {
    formula->line("T = min(low latency, ring, in-switch)", {{"T us", best},
                                                            {"low latency us", low},
                                                            {"ring us", ring},
                                                            {"in-switch us", in_switch},
                                                            {"wire MB", wire * 1e-6},
                                                            {"ranks", n}});
  }
  return best;
}

double all_to_all_inside(const Collective& s, const KernelConstants& c, Formula* formula) {
  const CollectiveConstants& k = c.collective;
  const auto n = static_cast<double>(s.ranks);
  const double link = fabric(c, n);
  const double small = k.peer_floor + s.bytes / n / (k.peer_rate * link);
  const double large =
      k.a2a_floor + ramped(s.bytes * (n - 1) / n / (k.a2a_rate * link), k.a2a_ramp);
  if (formula != nullptr) {
    formula->line("T = min(low latency per peer, bandwidth)",
                  {{"low latency us", small}, {"bandwidth us", large}});
  }
  return std::min(small, large);
}

double torus(const Collective& s, const KernelConstants& c, Formula* formula) {
  const CollectiveConstants& k = c.collective;
  const auto n = static_cast<double>(s.ranks);
  const ScaleUpTopology kind = c.cluster.accelerator.topology();
  const double axes =
      kind == ScaleUpTopology::torus_3d ? 3 : (kind == ScaleUpTopology::ring ? 1 : 2);
  const double side = std::max(1.0, std::pow(n, 1 / axes));
  const double link = k.ring_rate * need(c.link, c, "scale_up_bytes_per_s");
  const double hops = axes * side / 2;
  const bool exchange = s.kind == CollectiveKind::all_to_all;
  const double passes = s.kind == CollectiveKind::all_reduce ? 2 : 1;
  const double detour = exchange ? std::max(1.0, axes * side / kBisection) : 1;
  const double t = passes * detour * s.bytes * (n - 1) / n / link;
  const double total = k.ring_floor + k.ring_step * hops * passes + ramped(t, k.ramp);
  if (formula != nullptr) {
    formula->line("torus: T = floor + hops + ramp(wire x detour / injection)",
                  {{"T us", total}, {"wire us", t}, {"hops", hops}, {"detour", detour}});
  }
  return total;
}

double across_nodes(const Collective& s, const KernelConstants& c, const Layout& l,
                    Formula* formula) {
  const CollectiveConstants& k = c.collective;
  const double nic = k.net_rate * need(c.nic, c, "scale_out_bytes_per_s") *
                     c.cluster.scale_out_share(l.nodes, s.kind == CollectiveKind::all_to_all);
  const double link = l.inside > 1 ? k.ring_rate * fabric(c, l.inside) : 0;
  const double hops = std::min(l.nodes - 1, 2 * std::ceil(std::log2(l.nodes)));  // ring or tree
  const double passes = s.kind == CollectiveKind::all_reduce ? 2 : 1;
  double between = 0;
  double within = 0;
  double floor = k.ring_floor + k.net_floor;
  if (s.kind == CollectiveKind::all_to_all) {
    between = s.bytes * (l.ranks - l.inside) / l.ranks / nic;
    within =
        l.inside > 1 ? s.bytes * (l.inside - 1) / l.ranks / (k.a2a_rate / k.ring_rate * link) : 0;
    floor += k.net_step * std::log2(l.nodes) + 0.5 * (l.nodes - 1);  // posting a send per peer node
  } else {
    between = passes * s.bytes / l.inside * (l.nodes - 1) / l.nodes / nic;
    within = l.inside > 1 ? passes * s.bytes * (l.inside - 1) / l.inside / link : 0;
    floor += passes * (k.net_step * hops + k.ring_step * (l.inside - 1));
  }
  const double t = std::max(between, within);
  const double total = floor + ramped(t, k.net_ramp);
  if (formula != nullptr) {
    formula->line("T = floor + t + 2 sqrt(gamma t), t = max(between nodes, inside)",
                  {{"T us", total},
                   {"floor us", floor},
                   {"between us", between},
                   {"inside us", within},
                   {"nodes", l.nodes},
                   {"ranks a node", l.inside}});
  }
  return total;
}

double point_to_point(const Collective& s, const KernelConstants& c, const Layout& l,
                      Formula* formula) {
  const CollectiveConstants& k = c.collective;
  const double hops = std::max(1.0, static_cast<double>(s.ranks) - 1);
  const bool near = l.nodes <= 1;
  const double peer = c.peer > 0 ? std::min(c.peer, c.link) : c.link;
  const double rate = near ? k.p2p_rate * need(peer, c, "scale_up_bytes_per_s")
                           : k.net_rate * need(c.nic, c, "scale_out_bytes_per_s") *
                                 c.cluster.scale_out_share(l.nodes, false);
  const double floor = (near ? k.p2p_floor : k.net_floor + k.net_step) * hops;
  const double total = floor + s.bytes / rate;
  if (formula != nullptr) {
    formula->line("T = floor x hops + S/B",
                  {{"T us", total}, {"floor us", floor}, {"B GB/s", rate * 1e-3}});
  }
  return total;
}

double engine_all_reduce(const Collective& s, const KernelConstants& c) {
  const CollectiveConstants& k = c.collective;
  const auto n = static_cast<double>(s.ranks);
  const double link = fabric(c, n);
  const double one = k.one_shot_floor + k.one_shot_step * std::log2(n) +
                     (n - 1) * s.bytes / (k.one_shot_rate * link);
  const double two = k.two_shot_floor + 2 * s.bytes * (n - 1) / n / (k.two_shot_rate * link);
  return std::min(one, two);
}

}  // namespace

KernelTime collective_time(const Collective& s, const workloads::Operator& op,
                           const KernelConstants& c, RunConditions run, Formula* formula) {
  KernelTime t;
  t.network = true;
  if (s.ranks <= 1 || s.bytes <= 0) return t;
  const Layout l = layout(s, c);
  if (s.kind == CollectiveKind::p2p) {
    t.total = point_to_point(s, c, l, formula);
  } else if (l.nodes > 1) {
    t.total = across_nodes(s, c, l, formula);
  } else if (is_torus(c.cluster.accelerator.topology())) {
    t.total = torus(s, c, formula);
  } else if (s.kind == CollectiveKind::all_to_all) {
    t.total = all_to_all_inside(s, c, formula);
  } else {
    t.total = inside_domain(s, op, c, formula);
    if (s.kind == CollectiveKind::all_reduce && run.cold_weights &&
        c.collective.custom_all_reduce > 0.5) {
      t.total = std::min(t.total, engine_all_reduce(s, c));
    }
  }
  // What is left as the buffer shrinks to nothing counts as the floor.
  Collective tiny = s;
  tiny.bytes = 1;
  t.floor =
      s.bytes <= 1 ? t.total : std::min(t.total, collective_time(tiny, op, c, run, nullptr).total);
  t.memory = t.total - t.floor;
  return t;
}

}  // namespace jevons::sim
