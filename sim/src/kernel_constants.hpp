// Constants of one (chip, stack) pair as plain numbers: looked up by name once, read in every cost
// call. Names and meanings are in hwmodels/data/classes/*.json. A stack may carry a constant of the
// same name (its kernel library differs from the one the chip's class was measured with): the
// stack's value wins.
// Units inside: microseconds, bytes, bytes per microsecond (1 TB/s = 1e6), FLOP per microsecond.
#pragma once

#include "jevons/hwmodels/cluster.hpp"
#include "jevons/hwmodels/stack.hpp"
#include "jevons/workloads/operators.hpp"

#include <array>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace jevons::sim {

/// Kernel families: arithmetic and operand formats that share constants.
enum class GemmType { bf16, fp8, fp8_block, fp4, int8, w8a16, w4a16 };
inline constexpr std::size_t kGemmTypes = 7;
[[nodiscard]] std::string_view to_string(GemmType type);

struct Tile {
  double m = 0, n = 0;
};

/// Constants of one GEMM type.
struct GemmConstants {
  double floor = 0;                 ///< us
  double bare_floor = 0;            ///< us, of the kernel alone (no quantisation in front)
  double rate = 0;                  ///< share of the datasheet peak that a full wave reaches
  double weight_gradient_rate = 1;  ///< of that of forward GEMMs
  double unit_limit = std::numeric_limits<double>::infinity();  ///< FLOP per us of one unit
  double k_step = 0;    ///< us per unit of k, least time of one step of one tile
  double wave = 0;      ///< us, prologue and epilogue of a wave
  double feed = 0;      ///< operand feed over what a 128 x 256 tile needs
  double overlap = 2;   ///< exponent that joins compute and memory
  double quantise = 0;  ///< bytes per activation element of the quantise kernels
  double ragged = 0;    ///< us per 1e6 (k x padded rows)
  double split_k = 0;   ///< 1: the library has split-k kernels of this type
  double menu = 0;      ///< 0 cuBLAS on Hopper and later, 1 block-scaled, 2 Ampere and Ada
  // Grouped GEMM of MoE layers
  double moe_floor = 0, moe_wave = 0, moe_feed = 0, moe_traffic = 0, moe_setup = 0, moe_router = 0,
         moe_startup = 0, moe_passes = 0;
};

struct AttentionConstants {
  // decode, grouped-query (FlashAttention-3 class)
  double decode_floor, work_item, decode_stream, one_unit, decode_ramp, fp8_rate, fp8_rate_wide,
      per_sequence;
  // prefill, grouped-query
  double prefill_floor, prefill_item, prefill_rate, softmax, prefill_fp8, prefill_fp8_wide;
  // prefill, MLA expanded (engine kernels); index 1: fp8 cache
  std::array<double, 2> mla_floor, mla_item, mla_rate, mla_cast, mla_append;
  double mla_rows, mla_keys;
  // decode, MLA absorbed; index 1: fp8 cache
  std::array<double, 2> absorbed_floor, absorbed_item, absorbed_head, absorbed_stream,
      absorbed_rate, absorbed_ramp, absorbed_cached, absorbed_reread, absorbed_join;
  double absorbed_splits;
  // training kernels
  double train_forward_rate, train_forward_tokens, backward_rate, backward_tokens, backward_ratio;
  double train_kernels;  ///< 1: the stack's forward attention is the training kernel
};

struct CollectiveConstants {
  double ll_floor, ll_step, ll_rate, ring_floor, ring_step, ring_rate, copy_rate, ramp;
  double nvls_floor, nvls_rate, nvls_ramp, nvls_ranks;
  double peer_floor, peer_rate, a2a_floor, a2a_rate, a2a_ramp;
  double one_shot_floor, one_shot_step, one_shot_rate, two_shot_floor, two_shot_rate;
  double p2p_floor, p2p_rate, net_floor, net_step, net_rate, net_ramp;
  double custom_all_reduce;
};

/// Index 0 dispatch, 1 combine.
struct ExchangeConstants {
  std::array<double, 2> ll_floor, ll_node, ll_link, ll_cap, ll_net, ll_unit, floor, node, unit_one,
      unit_many, ramp, congestion, one_sided_floor, one_sided_start, one_sided_rate, rdma_only_step;
  double ll_expert, link, net, units, one_sided, ll_nvlink;
};

struct ElementwiseConstants {
  double copy_rate, rate, floor, launch_step, scan_rate;
};

struct KernelConstants {
  KernelConstants(const hwmodels::Cluster& cluster, const hwmodels::Stack& stack);

  hwmodels::Cluster cluster;
  std::string accelerator_id;
  bool has_four_bit = false;           ///< 4-bit arithmetic in hardware
  double units = 1;                    ///< SM, CU or cores
  double cache = 0;                    ///< bytes of the last-level cache
  double memory = 0;                   ///< datasheet bytes per us
  double link = 0, peer = 0, nic = 0;  ///< datasheet bytes per us and direction
  // GEMM, all types
  double gemm_memory = 0, startup = 0, cache_rate = 0, cache_share = 0, cache_edge = 0,
         split_reduce = 0, droop = 0, flushed = 0, quantise_timed = 0, quantise_fused = 0;
  std::array<GemmConstants, kGemmTypes> gemm{};
  std::array<std::vector<Tile>, 3> menus;
  AttentionConstants attention{};
  CollectiveConstants collective{};
  ExchangeConstants exchange{};
  ElementwiseConstants elementwise{};

  /// Dense peak in FLOP per us; throws Error(bad_input) naming the SKU when it has none.
  [[nodiscard]] double peak(NumberFormat format) const;
  [[nodiscard]] double peak_or_zero(NumberFormat format) const {
    return peaks_[static_cast<std::size_t>(format.format)];
  }

 private:
  void read_gemm(const hwmodels::Stack& stack);
  void read_attention(const hwmodels::Stack& stack);
  void read_collective(const hwmodels::Stack& stack);
  void read_exchange(const hwmodels::Stack& stack);
  std::array<double, 14> peaks_{};
};

}  // namespace jevons::sim
