// Watts: chip, IT and facility are three different numbers.
#pragma once

#include "jevons/core/units.hpp"
#include "jevons/hwmodels/cluster.hpp"
#include "jevons/sim/result.hpp"
#include "jevons/sim/scenario.hpp"

#include <string>

namespace jevons::sim {

/// What one accelerator did on average while it was busy.
struct Activity {
  double flops_per_s = 0;  ///< in `format`
  NumberFormat format;
  double wide_flops_per_s = 0;  ///< in 16 bits
  /// HBM traffic: weights touched once per step plus the KV cache read, or all operators' bytes.
  double bytes_per_s = 0;
  double busy_fraction = 1;  ///< of the time; the rest idles
  /// Routed experts, whose tiles are narrow: FLOPs in `format` with the empty rows of tiles, and
  /// the weight bytes that every tile of rows reads anew through the cache. Not part of
  /// flops_per_s.
  double tile_flops_per_s = 0, tile_bytes_per_s = 0;
  NumberFormat tile_weights;
  /// A single kernel in a loop (op): its own constants, fitted on kernel loops instead of engines.
  bool kernel_loop = false;
};

struct PowerEstimate {
  Watts chip;               ///< the accelerator board, as NVML reports
  Watts it;                 ///< chip + host + network share, per accelerator
  Watts facility;           ///< IT × PUE, per accelerator
  std::string host_source;  ///< where the host share comes from
  /// Why the server model would rather not answer (outside its calibrated range); empty: it does.
  std::string warning;
};

/// P = P0 + e_byte · B/s + e_flop · FLOP/s + e_tile · tile FLOP/s + e_cache · tile B/s while busy,
/// smoothly limited: (P^-n + limit^-n)^(-1/n) with limit = 0.99 TDP or cap; idle watts for the rest
/// of the time, and P0 no less than idle. e_flop of an engine holds what feeds a wide tile from the
/// cache; the narrow tiles of experts are fed by the byte, so e_tile is that of a kernel loop. Host
/// and network share: PowerSpec's own figure, else the server power model of the SKU, else the
/// class default. Symbols and sources: the power.* constants in hwmodels/data/classes. Valid for
/// GPUs that serve or train; known error (ML.ENERGY, rates given): dense 3.5 % median, MoE 7 % (8.5
/// % with models left out); attention-DP in vLLM 0.11 reads far above the model, fp8 experts by
/// FlashInfer's kernels (DeepSeek on B200) 40 % below it at small batches. Throws Error(bad_input)
/// that names tdp_w when the SKU lacks it: ask power_known() first.
[[nodiscard]] PowerEstimate power(const Activity& activity, const hwmodels::Cluster& cluster,
                                  const PowerSpec& spec);

/// The same for a chip whose watts are known.
[[nodiscard]] PowerEstimate power_around(Watts chip, const hwmodels::Cluster& cluster,
                                         const PowerSpec& spec);

/// The SKU gives what power() needs.
[[nodiscard]] bool power_known(const hwmodels::Cluster& cluster);

/// Chip watts alone.
[[nodiscard]] Watts chip_power(const Activity& activity, const hwmodels::Cluster& cluster);

/// The same in parts that add up to it: base (P0 while busy, idle for the rest), memory, arithmetic
/// and routed experts, these three scaled alike where the power limit holds them back.
[[nodiscard]] Breakdown chip_power_parts(const Activity& activity,
                                         const hwmodels::Cluster& cluster);

/// What a power cap makes longer: (W / cap)^exponent where the chip would draw W > cap without it,
/// 1 where the cap does not bind or there is none. Exponent 0.6: eight H200 capped at 500 of 700 W
/// lose 19 % of their throughput (MLPerf Inference, Llama-2-70B Offline); memory-bound decoding
/// stays below the cap and loses nothing.
[[nodiscard]] double cap_stretch(const Activity& activity, const hwmodels::Cluster& cluster,
                                 double exponent);

/// Highest rate in `format` at which the chip stays below its limit while it moves `bytes_per_s`;
/// above it the clock drops (kernel-loop constants). Infinite when the arithmetic costs nothing.
[[nodiscard]] FlopRate power_roof(NumberFormat format, Bandwidth bytes_per_s,
                                  const hwmodels::Cluster& cluster);

}  // namespace jevons::sim
