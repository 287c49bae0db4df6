#include "kernel_constants.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>
#include <string>

namespace jevons::sim {
namespace {

constexpr double kPerMicrosecond = 1e-6;

/// Looks a constant up in the stack first (its kernel library), then in the chip's chain.
class Reader {
 public:
  Reader(const hwmodels::Accelerator& accelerator, const hwmodels::Stack& stack)
      : accelerator_(accelerator), stack_(stack) {}
  [[nodiscard]] double operator()(std::string_view name) const {
    if (const Sourced* own = stack_.constants.find(name)) return own->value;
    return accelerator_.constants.at(name);
  }
  [[nodiscard]] double operator()(std::string name, std::string_view type) const {
    return (*this)(std::string_view(name.append(".").append(type)));
  }
  [[nodiscard]] std::array<double, 2> pair(const std::string& name, std::string_view first,
                                           std::string_view second) const {
    return {(*this)(name, first), (*this)(name, second)};
  }

 private:
  const hwmodels::Accelerator& accelerator_;
  const hwmodels::Stack& stack_;
};

/// cuBLAS on Hopper and Blackwell: (a, c) and (c, a), a in {64, 128, 192, 256}, c in {16 .. 256},
/// a c <= 32768. Block-scaled kernels: bm in {64, 128}, bn in {16 .. 256}. Ampere and Ada: the
/// CUTLASS list. From the tables' fit (see gemm_cost.cpp).
std::array<std::vector<Tile>, 3> tile_menus() {
  std::array<std::vector<Tile>, 3> menus;
  for (const double a : {64.0, 128.0, 192.0, 256.0}) {
    for (double c = 16; c <= 256; c += 16) {
      if (a * c > 32768) continue;
      menus[0].push_back({a, c});
      const bool both = (c == 64 || c == 128 || c == 192 || c == 256);  // already in the list
      if (!both) menus[0].push_back({c, a});
    }
  }
  for (const double bm : {64.0, 128.0}) {
    for (double bn = 16; bn <= 256; bn += 16) menus[1].push_back({bm, bn});
  }
  menus[2] = {{64, 64},  {128, 128}, {256, 128}, {128, 256}, {64, 128}, {128, 64},
              {256, 64}, {64, 256},  {32, 128},  {128, 32},  {32, 64},  {64, 32},
              {16, 64},  {64, 16},   {16, 128},  {128, 16}};
  // Wide tiles first: a large problem finds its best early; equal widths by height.
  for (std::vector<Tile>& menu : menus) {
    std::sort(menu.begin(), menu.end(),
              [](const Tile& a, const Tile& b) { return a.n != b.n ? a.n > b.n : a.m < b.m; });
  }
  return menus;
}

}  // namespace

std::string_view to_string(GemmType type) {
  constexpr std::array<std::string_view, kGemmTypes> kNames{"bf16", "fp8",   "fp8_block", "fp4",
                                                            "int8", "w8a16", "w4a16"};
  return kNames[static_cast<std::size_t>(type)];
}

KernelConstants::KernelConstants(const hwmodels::Cluster& given, const hwmodels::Stack& stack)
    : cluster(given), accelerator_id(given.accelerator.id), menus(tile_menus()) {
  const hwmodels::Accelerator& chip = cluster.accelerator;
  memory = chip.require("memory_bandwidth_bytes_per_s") * kPerMicrosecond;
  // A chip without a shared cache (or none published) keeps nothing between calls.
  cache = chip.find("last_level_cache_bytes").value_or(0.0);
  const std::optional<double> published_units = chip.find("compute_units");
  const Reader read(chip, stack);
  units = published_units.value_or(read("units_when_unpublished"));
  link = cluster.scale_up.raw() * kPerMicrosecond;
  peer = cluster.scale_up_peer.raw() * kPerMicrosecond;
  nic = cluster.scale_out.raw() * kPerMicrosecond;
  has_four_bit = chip.find("peak_fp4_flops_per_s").has_value();
  for (std::size_t i = 0; i < peaks_.size(); ++i) {
    const NumberFormat format{static_cast<Format>(i), 0.0};
    peaks_[i] = chip.has_peak(format) ? chip.peak(format).raw() * kPerMicrosecond : 0.0;
  }
  read_gemm(stack);
  read_attention(stack);
  read_collective(stack);
  read_exchange(stack);
  elementwise = {read("elementwise.copy_rate"), read("elementwise.rate"),
                 read("elementwise.floor_us"), read("elementwise.launch_us"), read("scan.rate")};
}

double KernelConstants::peak(NumberFormat format) const {
  const double value = peak_or_zero(format);
  if (value <= 0) {
    static_cast<void>(cluster.accelerator.peak(format));  // throws with the figures it needs
  }
  return value;
}

void KernelConstants::read_gemm(const hwmodels::Stack& stack) {
  const Reader read(cluster.accelerator, stack);
  gemm_memory = read("gemm.memory_rate");
  startup = read("gemm.startup_bytes");
  cache_rate = read("gemm.cache_rate");
  cache_share = read("gemm.cache_share");
  cache_edge = read("gemm.cache_edge");
  split_reduce = read("gemm.split_us");
  droop = read("gemm.droop");
  flushed = read("harness.cache_flushed");
  quantise_timed = read("harness.quantise_timed");
  quantise_fused = read("engine.quantise_fused");
  // Kernels written for older matrix instructions: so many FLOP a cycle, whatever the chip could
  // do.
  const auto unit_limit = [&](std::string_view type) {
    const double cycle =
        read(type == "w4a16" || type == "w8a16" ? "engine.gemm_flops_per_cycle.unpacked"
                                                : "engine.gemm_flops_per_cycle");
    const std::optional<double> clock = cluster.accelerator.find("boost_clock_hz");
    return cycle > 0 && clock ? cycle * *clock * kPerMicrosecond
                              : std::numeric_limits<double>::infinity();
  };
  for (std::size_t i = 0; i < kGemmTypes; ++i) {
    const std::string_view type = to_string(static_cast<GemmType>(i));
    GemmConstants& g = gemm[i];
    g.floor = read("gemm.floor_us", type);
    g.bare_floor = read("gemm.floor_us.bf16");
    g.rate = read("gemm.rate", type);
    g.weight_gradient_rate = read("gemm.weight_gradient_rate", type);
    g.unit_limit = unit_limit(type);
    g.k_step = read("gemm.step_ns", type) * 1e-3;
    g.wave = read("gemm.wave_us", type);
    g.feed = read("gemm.feed", type);
    g.overlap = read("gemm.overlap", type);
    g.quantise = read("gemm.quantise_bytes", type);
    g.ragged = read("gemm.ragged", type);
    g.split_k = read("gemm.split_k", type);
    g.menu = read("gemm.menu", type);
    g.moe_floor = read("moe.floor_us", type);
    g.moe_wave = read("moe.wave_us", type);
    g.moe_feed = read("moe.feed", type);
    g.moe_traffic = read("moe.traffic_rate", type);
    g.moe_setup = read("moe.setup_us", type);
    g.moe_router = read("moe.router_us", type);
    g.moe_startup = read("moe.startup_bytes", type);
    g.moe_passes = read("moe.passes", type);
  }
}

void KernelConstants::read_attention(const hwmodels::Stack& stack) {
  const Reader read(cluster.accelerator, stack);
  const auto both = [&](const std::string& name) { return read.pair(name, "bf16", "fp8"); };
  AttentionConstants& a = attention;
  a.decode_floor = read("decode.floor_us");
  a.work_item = read("decode.item_us");
  a.decode_stream = read("decode.stream_rate");
  a.one_unit = read("decode.one_unit");
  a.decode_ramp = read("decode.ramp_us");
  a.fp8_rate = read("decode.fp8_rate");
  a.fp8_rate_wide = read("decode.fp8_rate_wide");
  a.per_sequence = read("decode.sequence_us");
  a.prefill_floor = read("prefill.floor_us");
  a.prefill_item = read("prefill.item_us");
  a.prefill_rate = read("prefill.rate");
  a.softmax = read("prefill.softmax_ps") * 1e-6;
  a.prefill_fp8 = read("prefill.fp8_cache");
  a.prefill_fp8_wide = read("prefill.fp8_cache_wide");
  a.mla_floor = both("mla_prefill.floor_us");
  a.mla_item = both("mla_prefill.item_us");
  a.mla_rate = both("mla_prefill.rate");
  a.mla_cast = both("mla_prefill.cast_bytes");
  a.mla_append = both("mla_prefill.append_bytes");
  a.mla_rows = read("mla_prefill.tile_rows");
  a.mla_keys = read("mla_prefill.tile_keys");
  a.absorbed_floor = both("mla_decode.floor_us");
  a.absorbed_item = both("mla_decode.item_ns");
  a.absorbed_head = both("mla_decode.head_bytes");
  a.absorbed_stream = both("mla_decode.stream_rate");
  a.absorbed_rate = both("mla_decode.rate");
  a.absorbed_ramp = both("mla_decode.ramp_us");
  a.absorbed_cached = both("mla_decode.cached");
  a.absorbed_reread = both("mla_decode.reread");
  a.absorbed_join = both("mla_decode.join_us");
  a.absorbed_splits = read("mla_decode.most_splits");
  a.train_forward_rate = read("train_attention.forward_rate");
  a.train_forward_tokens = read("train_attention.forward_tokens");
  a.backward_rate = read("train_attention.backward_rate");
  a.backward_tokens = read("train_attention.backward_tokens");
  a.backward_ratio = read("train_attention.backward_over_forward");
  a.train_kernels = read("engine.training_attention");
}

void KernelConstants::read_collective(const hwmodels::Stack& stack) {
  const Reader read(cluster.accelerator, stack);
  CollectiveConstants& c = collective;
  c.ll_floor = read("collective.ll_floor_us");
  c.ll_step = read("collective.ll_step_us");
  c.ll_rate = read("collective.ll_rate");
  c.ring_floor = read("collective.ring_floor_us");
  c.ring_step = read("collective.ring_step_us");
  c.ring_rate = read("collective.ring_rate");
  c.copy_rate = read("collective.copy_rate");
  c.ramp = read("collective.ramp_us");
  c.nvls_floor = read("collective.in_switch_floor_us");
  c.nvls_rate = read("collective.in_switch_rate");
  c.nvls_ramp = read("collective.in_switch_ramp_us");
  c.nvls_ranks = read("collective.in_switch_ranks");
  c.peer_floor = read("all_to_all.small_floor_us");
  c.peer_rate = read("all_to_all.small_rate");
  c.a2a_floor = read("all_to_all.floor_us");
  c.a2a_rate = read("all_to_all.rate");
  c.a2a_ramp = read("all_to_all.ramp_us");
  c.one_shot_floor = read("one_shot.floor_us");
  c.one_shot_step = read("one_shot.step_us");
  c.one_shot_rate = read("one_shot.rate");
  c.two_shot_floor = read("two_shot.floor_us");
  c.two_shot_rate = read("two_shot.rate");
  c.p2p_floor = read("p2p.floor_us");
  c.p2p_rate = read("p2p.rate");
  c.net_floor = read("network.floor_us");
  c.net_step = read("network.step_us");
  c.net_rate = read("network.rate");
  c.net_ramp = read("network.ramp_us");
  c.custom_all_reduce = read("engine.custom_all_reduce");
}

void KernelConstants::read_exchange(const hwmodels::Stack& stack) {
  const Reader read(cluster.accelerator, stack);
  const auto both = [&](const std::string& name) { return read.pair(name, "dispatch", "combine"); };
  ExchangeConstants& e = exchange;
  e.ll_floor = both("exchange.ll_floor_us");
  e.ll_node = both("exchange.ll_node_us");
  e.ll_link = both("exchange.ll_link_rate");
  e.ll_cap = both("exchange.ll_cap");
  e.ll_net = both("exchange.ll_network_rate");
  e.ll_unit = both("exchange.ll_unit");
  e.floor = both("exchange.floor_us");
  e.node = both("exchange.node_us");
  e.unit_one = both("exchange.unit_rate_one_node");
  e.unit_many = both("exchange.unit_rate");
  e.ramp = both("exchange.ramp_us");
  e.congestion = both("exchange.congestion");
  e.one_sided_floor = both("one_sided.floor_us");
  e.one_sided_start = both("one_sided.start_us");
  e.one_sided_rate = both("one_sided.rate");
  e.rdma_only_step = both("exchange.rdma_only_step_us");
  e.ll_expert = read("exchange.ll_expert_us");
  e.link = read("exchange.link_rate");
  e.net = read("exchange.network_rate");
  e.units = read("engine.exchange_units");
  e.one_sided = read("engine.one_sided_exchange");
  e.ll_nvlink = read("engine.low_latency_over_link");
}

}  // namespace jevons::sim
