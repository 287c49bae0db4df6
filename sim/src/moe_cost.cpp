// Routed experts of one layer on the most loaded rank: router, permute, quantise, both grouped
// GEMMs, activation, finalize; no communication.
//
//   t = t0 + ce g + cr E + cT 2 T H / BW + (R H (4 + b) + R I' (2 gate + b)) / bp
//     + G(gate I', H) + G(H, I')
//   G(n, k): t_comp = min over tiles max(tiles(bm) ceil(n/bn) / S, 1)
//                     (te + k max(2 bm bn / (F/S), (bm + bn) b / l2, 0.6 ns))
//            t_mem of D = A n k b + R (k b + 2 n);  (t_comp^2.5 + t_mem^2.5)^(1/2.5)
//
// R rows, A active experts and tiles come from the routing model (routing.hpp). g = E/ep local
// experts, I' = I/etp, T tokens entering the layer over all ranks.
// Source: ai-dynamo/aiconfigurator MoE tables of H100 and B200 (TensorRT-LLM 1.3.0rc20). Known
// error: median 4-8 %, P90 12-30 % (tuner fallbacks are not modelled); nvfp4 12 / 35.
#include "kernel_cost.hpp"
#include "routing_load.hpp"

#include <algorithm>
#include <array>

namespace jevons::sim {
namespace {

constexpr double kOverlap = 2.5;
constexpr double kLeastStep = 0.6e-3;  // us per unit of k
constexpr double kTwice = 2;           // permuted activations are 16-bit: read and write

constexpr std::array<Tile, 16> kTiles{{{16, 64},
                                       {16, 128},
                                       {16, 256},
                                       {32, 64},
                                       {32, 128},
                                       {32, 256},
                                       {64, 64},
                                       {64, 128},
                                       {64, 256},
                                       {128, 64},
                                       {128, 128},
                                       {128, 256},
                                       {256, 64},
                                       {256, 128},
                                       {256, 256},
                                       {16, 64}}};

struct Grouped {
  const RankLoad& load;
  const GemmFormat& format;
  const GemmConstants& g;
  const KernelConstants& c;
  double units, unit_rate, feed;
};

double grouped_gemm(const Grouped& p, double n, double k, KernelTime& sum) {
  double compute = 1e300;
  for (const Tile tile : kTiles) {
    const double step =
        std::max({2 * tile.m * tile.n / p.unit_rate,
                  (tile.m + tile.n) * p.format.activation_bytes / p.feed, kLeastStep});
    const double waves = std::max(1.0, p.load.tiles(tile.m) * whole(n / tile.n) / p.units);
    compute = std::min(compute, waves * (p.g.moe_wave + k * step));
  }
  const double bytes = p.load.active * n * k * p.format.weight_bytes +
                       p.load.rows * (k * p.format.activation_bytes + 2 * n);
  const double memory = dram_time(bytes, p.c.memory, p.g.moe_startup);
  sum.compute += compute;
  sum.memory += memory;
  return std::pow(std::pow(compute, kOverlap) + std::pow(memory, kOverlap), 1 / kOverlap);
}

}  // namespace

KernelTime moe_time(const workloads::MoeExperts& s, const workloads::Operator& op,
                    const KernelConstants& c, RunConditions run, Formula* formula) {
  const GemmFormat f = gemm_format(op, c);
  const GemmConstants& g = c.gemm[static_cast<std::size_t>(f.type)];
  const RankLoad load = rank_load(s);
  const double units = std::max(1.0, c.units - run.held_units);
  const double scale = s.backward_weight ? g.weight_gradient_rate : 1.0;
  const double unit_rate = g.rate * f.peak / c.units * scale;
  const double feed = g.moe_feed * f.activation_bytes * (384.0 / 65536.0) * unit_rate;
  const double gate = s.gated ? 2 : 1;
  const double inner = s.intermediate / static_cast<double>(s.etp);
  const double local = s.experts / static_cast<double>(s.ep);
  const double b = f.activation_bytes;

  KernelTime t;
  const double floor = g.moe_floor + g.moe_setup * local + g.moe_router * s.experts;
  const double passes = g.moe_passes * kTwice * s.tokens * s.hidden / c.memory;
  const double traffic =
      load.rows * (s.hidden * (4 + b) + inner * (2 * gate + b)) / (g.moe_traffic * c.memory);
  const Grouped problem{load, f, g, c, units, unit_rate, feed};
  const double up = grouped_gemm(problem, gate * inner, s.hidden, t);
  const double down = grouped_gemm(problem, s.hidden, inner, t);
  t.floor = floor;
  t.memory += passes + traffic;
  t.total = floor + passes + traffic + up + down;
  if (formula != nullptr) {
    formula->line(
        "t = t0 + ce g + cr E + passes over all tokens + activation traffic + G(up) + "
        "G(down)",
        {{"t us", t.total},
         {"floor us", floor},
         {"passes us", passes},
         {"traffic us", traffic},
         {"up us", up},
         {"down us", down}});
    formula->line("load of the most loaded rank", {{"rows", load.rows},
                                                   {"active experts", load.active},
                                                   {"max/mean", load.max_over_mean},
                                                   {"tiles of 64 rows", load.tiles(64)}});
  }
  return t;
}

}  // namespace jevons::sim
