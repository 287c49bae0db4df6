#include "engine_experts.hpp"

#include "jevons/sim/routing.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace jevons::sim {
namespace {

constexpr double kTileRows = 16;
constexpr double kNorm = 3;

/// Arithmetic of the kernel: 4-bit weights run in 16 bit where the chip has no 4-bit unit.
NumberFormat arithmetic(const workloads::Operator& op, const hwmodels::Accelerator& sku) {
  if (is_four_bit(op.format) && !sku.find("peak_fp4_flops_per_s")) return {Format::bf16};
  return op.format;
}

/// 4-bit weights that the kernel unpacks to 16 bit.
bool unpacks(const workloads::Operator& op, const hwmodels::Accelerator& sku) {
  return payload_bits(op.weight_format) <= 4.5 && payload_bits(arithmetic(op, sku)) > 8;
}

/// Experts that get a row when popularity falls as rank^-skew: sum of 1 − (1 − p_i)^T over 64
/// quantiles of the ranks, p_i no more than one.
double popular_experts_hit(const workloads::MoeExperts& s, double skew) {
  if (skew <= 0) return workloads::experts_hit(s);
  constexpr int kQuantiles = 64;
  std::array<double, kQuantiles> weight{};
  double sum = 0;
  const double slots = s.experts + s.redundant;
  for (int i = 0; i < kQuantiles; ++i) {
    weight[static_cast<std::size_t>(i)] = std::pow((i + 0.5) / kQuantiles + 0.5 / slots, -skew);
    sum += weight[static_cast<std::size_t>(i)] / kQuantiles;
  }
  double hit = 0;
  for (const double w : weight) {
    const double p = std::min(1.0, s.top_k / slots * w / sum);
    hit += (p >= 1 ? 1.0 : 1 - std::pow(1 - p, s.tokens)) / kQuantiles;
  }
  return hit * slots / static_cast<double>(s.ep);
}

}  // namespace

EngineExperts::EngineExperts(const hwmodels::Cluster& cluster, const hwmodels::Stack& stack)
    : accelerator_(cluster.accelerator), used_(stack.flag("serve_engine_experts")) {
  if (!used_) return;
  bandwidth_ = accelerator_.require("memory_bandwidth_bytes_per_s");
  units_ = accelerator_.find("compute_units").value_or(0);
  wide_ = stack.at("serve_expert_memory_rate.bf16");
  fp8_ = stack.at("serve_expert_memory_rate.fp8");
  fp8_block_ = stack.at("serve_expert_memory_rate.fp8_block");
  fp4_ = stack.at("serve_expert_memory_rate.fp4");
  unpack_bytes_ = stack.at("serve_expert_dequantise_bytes_per_s_per_unit");
  unpack_flops_ = stack.at("serve_expert_dequantised_flops_per_s_per_unit");
  compute_ = stack.at("serve_expert_compute_rate");
  compute_block_ = stack.at("serve_expert_compute_rate.fp8_block");
  grouped_ = stack.at("serve_expert_grouped_compute_rate");
  skew_ = stack.at("serve_routing_skew");
}

double EngineExperts::memory_rate(const workloads::Operator& op) const {
  double share = wide_;
  switch (op.weight_format.format) {
    case Format::fp8_block:
    case Format::mxfp8: share = fp8_block_; break;
    case Format::fp8:
    case Format::int8: share = fp8_; break;
    case Format::nvfp4:
    case Format::mxfp4:
    case Format::mxfp6:
    case Format::int4:
    case Format::ternary: share = fp4_; break;
    default: break;
  }
  const double most = share * bandwidth_;
  return unpacks(op, accelerator_) && units_ > 0 ? std::min(most, unpack_bytes_ * units_) : most;
}

double EngineExperts::compute_rate(const workloads::Operator& op, bool grouped) const {
  const bool block = op.weight_format.format == Format::fp8_block;
  const double most = (grouped ? grouped_
                       : block ? compute_block_
                               : compute_) *
                      accelerator_.peak(arithmetic(op, accelerator_)).raw();
  return unpacks(op, accelerator_) && units_ > 0 ? std::min(most, unpack_flops_ * units_) : most;
}

double EngineExperts::hit(const workloads::MoeExperts& s) const {
  return popular_experts_hit(s, skew_);
}

double EngineExperts::time(const workloads::MoeExperts& s, const workloads::Operator& op,
                           bool grouped) const {
  const double hit = this->hit(s), rows = workloads::expert_rows(s);
  const double parameters =
      (s.gated ? 3 : 2) * s.hidden * s.intermediate / static_cast<double>(s.etp);
  const double ranks = static_cast<double>(s.ep);
  const double memory = busiest_experts_hit(hit, (s.experts + s.redundant) / ranks, ranks) *
                        parameters * weight_bytes(op.weight_format) / memory_rate(op);
  const double padded = rows + std::min(rows, kTileRows * hit);
  const double compute = 2 * parameters * padded / compute_rate(op, grouped);
  return std::pow(std::pow(memory, kNorm) + std::pow(compute, kNorm), 1 / kNorm);
}

}  // namespace jevons::sim
