// Dense and grouped GEMM (m x k) x (k x n).
//
//   t_mem  = D/BW + (br/BW)(1 - exp(-D/br)) + (W + A + C - D)/cb
//   t_comp = min over tiles (bm, bn) and splits s of
//            waves (te + 64 ceil(k/s/64) step) + [s > 1] (ts + 8 s m n / (l2 S))
//   step   = max(2 bm bn / (F/S), (min(bm,m) + min(bn,n)) b / l2, tau)      us per unit of k
//   t      = t0 + (t_comp^p + t_mem^p)^(1/p), then clock droop, ragged rows, quantisation
//
// D: bytes from DRAM; W and A partly stay in the last-level cache between the calls of a benchmark
// loop (weights rotate over copies, the activation is one tensor); inside a model W is cold.
// F: rate of a full wave, S: units, l2: operand feed of one unit, tau: latency of one k step,
// te: prologue and epilogue, ts: reduction of split-k, br: start-up of the DRAM stream.
// Source: least absolute log error on the GEMM tables of ai-dynamo/aiconfigurator (H100, B200,
// A100, L40S). Known error: median 2-5 %, P90 8-15 % (L40S 7 / 22); fails at single B200 bf16
// shapes with m >= 4096 (+-20 %). Valid for n, k >= 256.
#include "kernel_cost.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>

namespace jevons::sim {
namespace {

using workloads::Gemm;

constexpr double kStepOfK = 64;      // a k loop advances by 64 elements
constexpr double kLeastSplit = 256;  // elements of k each split must keep
constexpr double kDroopTime = 2000;  // us of load after which half the droop has come
constexpr double kMostCopies = 5;    // weight copies a benchmark rotates over

struct Operands {
  double weights = 0, input = 0, output = 0, dram = 0;
};

/// Bytes and how many of them come from DRAM.
Operands operands(const Gemm& s, const GemmFormat& f, const KernelConstants& c, RunConditions run) {
  Operands o;
  o.weights = s.n * s.k * f.weight_bytes * s.groups;
  o.input = s.m * s.k * f.activation_bytes * s.groups;
  o.output = s.output_bytes * s.m * s.n * s.groups;
  double hot_weights = 0;
  double hot_input = 0;
  if (c.flushed < 0.5 || run.cold_weights) {
    const double capacity = c.cache * c.cache_share;
    hot_input = 1 / (1 + std::pow(o.input / capacity, c.cache_edge));
    if (!run.cold_weights) {
      const double copies =
          std::clamp(whole(c.cache / (s.n * s.k * s.groups * f.payload_bytes)), 1.0, kMostCopies);
      hot_weights = 1 / (1 + std::pow(copies * o.weights / capacity, c.cache_edge));
    }
  }
  o.dram = o.weights * (1 - hot_weights) + o.input * (1 - hot_input) + o.output;
  return o;
}

struct Best {
  double time = 1e300, step = 0, waves = 0, split = 1;
  Tile tile;
};

/// What the tile search needs of one problem.
struct Search {
  double m, n, k, groups, flop_rate_unit, feed, units, activation_bytes, weight_bytes;
};

void try_tile(const Search& s, Tile tile, const GemmConstants& g, double split_reduce, Best& best) {
  const double step = std::max(
      {2 * tile.m * tile.n / s.flop_rate_unit,
       (std::min(tile.m, s.m) * s.activation_bytes + std::min(tile.n, s.n) * s.weight_bytes) /
           s.feed,
       g.k_step});
  const double tiles = whole(s.m / tile.m) * whole(s.n / tile.n) * s.groups;
  // No split can beat all units busy all the time.
  if (tiles * s.k * step >= best.time * s.units) return;
  const double last_split = g.split_k > 0.5 ? 16 : 1;
  for (double split = 1; split <= last_split; split *= 2) {
    if (split > 1 && (s.k / split < kLeastSplit || tiles * split > 4 * s.units)) break;
    const double waves = whole(tiles * split / s.units);
    double time = waves * (g.wave + kStepOfK * whole(s.k / split / kStepOfK) * step);
    if (split > 1) time += split_reduce + 8 * split * s.m * s.n * s.groups / (s.feed * s.units);
    if (time < best.time) best = {time, step, waves, split, tile};
  }
}

double with_droop(double time, double droop) {
  return time * (1 + droop * time / (time + kDroopTime));
}

}  // namespace

KernelTime gemm_time(const Gemm& s, const workloads::Operator& op, const KernelConstants& c,
                     RunConditions run, Formula* formula) {
  const GemmFormat f = gemm_format(op, c);
  const GemmConstants& g = c.gemm[static_cast<std::size_t>(f.type)];
  const double units = std::max(1.0, c.units - run.held_units);
  const double rate = g.rate * f.peak * (s.weight_gradient ? g.weight_gradient_rate : 1.0);
  const double unit_rate = std::min(rate / c.units, g.unit_limit);
  // The feed is counted against a 128 x 256 tile: (128 + 256) b bytes for 2 x 128 x 256 FLOP.
  const double feed = g.feed * f.activation_bytes * (384.0 / 65536.0) * unit_rate;

  const Search search{s.m,           s.n, s.k, s.groups, unit_rate, feed, units, f.activation_bytes,
                      f.weight_bytes};
  Best best;
  // The menu goes by n, then m: of the tiles that hold all rows only the lowest can be best.
  double passed = 0;
  for (const Tile tile : c.menus[static_cast<std::size_t>(g.menu)]) {
    if (tile.n == passed) continue;
    try_tile(search, tile, g, c.split_reduce, best);
    if (tile.m >= s.m) passed = tile.n;
  }

  const Operands o = operands(s, f, c, run);
  const double dram_rate = c.gemm_memory * c.memory;
  const double cached = std::max(0.0, o.weights + o.input + o.output - o.dram);
  const double memory =
      dram_time(o.dram, dram_rate, c.startup) + cached / (c.cache_rate * c.memory);

  const bool bare = run.cold_weights ? c.quantise_fused > 0.5 : c.quantise_timed < 0.5;
  KernelTime t;
  t.floor = bare ? std::min(g.floor, g.bare_floor) : g.floor;
  t.compute = best.time;
  t.memory = memory;
  t.total = t.floor +
            std::pow(std::pow(best.time, g.overlap) + std::pow(memory, g.overlap), 1 / g.overlap);
  if (g.ragged > 0 && s.m > 64) {
    const double pad = 128 * whole(s.m / 128) - s.m;
    t.total += g.ragged * s.k * pad * std::min(1.0, s.n / 1024) * 1e-6 * s.groups;
  }
  t.total = with_droop(t.total, c.droop);
  const double quantise = bare ? 0.0 : g.quantise * s.m * s.k * s.groups / c.memory;
  t.total += quantise;
  if (formula != nullptr) {
    formula->line("t = t0 + (t_comp^p + t_mem^p)^(1/p), x (1 + droop t/(t + 2000 us)), + quantise",
                  {{"t us", t.total},
                   {"t0 us", t.floor},
                   {"p", g.overlap},
                   {"droop", c.droop},
                   {"quantise us", quantise}});
    formula->line("t_comp = waves (te + 64 ceil(k/s/64) step)",
                  {{"t_comp us", best.time},
                   {"tile m", best.tile.m},
                   {"tile n", best.tile.n},
                   {"split", best.split},
                   {"waves", best.waves},
                   {"te us", g.wave},
                   {"step ns", 1e3 * best.step},
                   {"units", units},
                   {"full-wave TFLOP/s", rate * 1e-6}});
    formula->line("t_mem = D/BW + start-up + cached/BW_cache", {{"t_mem us", memory},
                                                                {"D MB", o.dram * 1e-6},
                                                                {"BW TB/s", dram_rate * 1e-6},
                                                                {"cached MB", cached * 1e-6}});
  }
  return t;
}

GemmFormat gemm_format(const workloads::Operator& op, const KernelConstants& c) {
  GemmFormat f;
  f.weight_bytes = jevons::weight_bytes(op.weight_format);
  f.payload_bytes = payload_bits(op.weight_format) / 8;
  NumberFormat arithmetic = op.format;
  const double weight_bits = payload_bits(op.weight_format);
  // A chip without 4-bit arithmetic unpacks such weights to bf16 (Marlin, mxfp4 on Hopper).
  if (is_four_bit(arithmetic) && !c.has_four_bit) arithmetic = {Format::bf16, 0};
  switch (arithmetic.format) {
    case Format::fp8: f.type = GemmType::fp8; break;
    case Format::fp8_block:
    case Format::mxfp8:
    case Format::mxfp6: f.type = GemmType::fp8_block; break;
    case Format::nvfp4:
    case Format::mxfp4: f.type = GemmType::fp4; break;
    case Format::int8:
    case Format::int4:
    case Format::ternary: f.type = GemmType::int8; break;
    default:
      f.type =
          weight_bits > 8 ? GemmType::bf16 : (weight_bits > 6 ? GemmType::w8a16 : GemmType::w4a16);
  }
  f.peak = c.peak(arithmetic);
  const double bits = payload_bits(arithmetic);
  f.activation_bytes = is_four_bit(arithmetic) ? activation_bytes(arithmetic) : bits / 8;
  return f;
}

}  // namespace jevons::sim
