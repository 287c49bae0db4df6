#include "jevons/sim/operator_cost.hpp"

#include "kernel_cost.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <variant>

namespace jevons::sim {
namespace {

using workloads::Operator;

/// Copies, element-wise kernels and scans: a floor and bytes over a share of the bandwidth.
KernelTime copy_time(const workloads::Copy& s, const KernelConstants& c, Formula* formula) {
  KernelTime t;
  t.floor = c.elementwise.floor;
  t.memory = 2 * s.bytes / (c.elementwise.copy_rate * c.memory);
  t.total = t.floor + t.memory;
  if (formula != nullptr) {
    formula->line("t = floor + 2 bytes / rate", {{"t us", t.total}, {"floor us", t.floor}});
  }
  return t;
}

KernelTime elementwise_time(const workloads::Elementwise& s, const KernelConstants& c,
                            Formula* formula) {
  KernelTime t;
  t.floor = c.elementwise.launch_step * std::max(1.0, s.launches);
  t.memory = (s.bytes_read + s.bytes_written) / (c.elementwise.rate * c.memory);
  t.total = t.floor + t.memory;
  if (formula != nullptr) {
    formula->line("t = launches x floor + bytes / rate",
                  {{"t us", t.total}, {"floor us", t.floor}, {"bytes us", t.memory}});
  }
  return t;
}

KernelTime scan_time(const workloads::Scan& s, const Operator& op, const KernelConstants& c,
                     Formula* formula) {
  KernelTime t;
  t.floor = c.elementwise.floor;
  t.compute = s.flops / (c.elementwise.scan_rate * c.peak(op.format));
  t.memory = (s.bytes + s.state_bytes) / (c.elementwise.rate * c.memory);
  t.total = t.floor + std::max(t.compute, t.memory);
  if (formula != nullptr) {
    formula->line("t = floor + max(FLOPs / rate, bytes / rate)",
                  {{"t us", t.total}, {"compute us", t.compute}, {"memory us", t.memory}});
  }
  return t;
}

KernelTime time_of(const Operator& op, const KernelConstants& c, RunConditions run,
                   Formula* formula) {
  return std::visit(
      [&](const auto& shape) -> KernelTime {
        using T = std::decay_t<decltype(shape)>;
        if constexpr (std::is_same_v<T, workloads::Gemm>) {
          return gemm_time(shape, op, c, run, formula);
        } else if constexpr (std::is_same_v<T, workloads::AttentionCore>) {
          return attention_time(shape, op, c, run, formula);
        } else if constexpr (std::is_same_v<T, workloads::MlaDecode>) {
          return mla_decode_time(shape, op, c, run, formula);
        } else if constexpr (std::is_same_v<T, workloads::Copy>) {
          return copy_time(shape, c, formula);
        } else if constexpr (std::is_same_v<T, workloads::Elementwise>) {
          return elementwise_time(shape, c, formula);
        } else if constexpr (std::is_same_v<T, workloads::Scan>) {
          return scan_time(shape, op, c, formula);
        } else if constexpr (std::is_same_v<T, workloads::Collective>) {
          return collective_time(shape, op, c, run, formula);
        } else if constexpr (std::is_same_v<T, workloads::MoeExchange>) {
          return exchange_time(shape, c, formula);
        } else {
          return moe_time(shape, op, c, run, formula);
        }
      },
      op.shape);
}

/// The largest of the terms; a network kernel is bound by the network unless the floor rules.
Bound bound_of(const KernelTime& t) {
  if (t.floor > t.compute && t.floor > t.memory) return Bound::latency;
  if (t.network) return Bound::network;
  return t.compute >= t.memory ? Bound::compute : Bound::memory;
}

bool is_network(const Operator& op) {
  return std::holds_alternative<workloads::Collective>(op.shape) ||
         std::holds_alternative<workloads::MoeExchange>(op.shape);
}

bool does_arithmetic(const Operator& op) {
  return !is_network(op) && !std::holds_alternative<workloads::Copy>(op.shape);
}

}  // namespace

void Formula::line(std::string_view text,
                   std::initializer_list<std::pair<std::string_view, double>> values) {
  text_ += text;
  for (const auto& [name, value] : values) {
    std::array<char, 32> buffer{};
    std::snprintf(buffer.data(), buffer.size(), "%.4g", value);
    text_.append("\n    ").append(name).append(" = ").append(buffer.data());
  }
  text_ += '\n';
}

std::string_view to_string(Bound bound) {
  switch (bound) {
    case Bound::compute: return "compute";
    case Bound::memory: return "memory";
    case Bound::latency: return "latency";
    case Bound::network: return "network";
  }
  return "compute";
}

OperatorModel::OperatorModel(const hwmodels::Cluster& cluster, const hwmodels::Stack& stack)
    : constants_(std::make_unique<KernelConstants>(cluster, stack)) {}
OperatorModel::~OperatorModel() = default;
OperatorModel::OperatorModel(OperatorModel&&) noexcept = default;
OperatorModel& OperatorModel::operator=(OperatorModel&&) noexcept = default;

OperatorCost OperatorModel::cost(const Operator& op, RunConditions run) const {
  const KernelTime t = time_of(op, *constants_, run, nullptr);
  const workloads::Work work = workloads::work_of(op);
  OperatorCost cost;
  cost.time = microseconds(t.total);
  cost.compute = microseconds(t.compute);
  cost.memory = microseconds(t.memory);
  cost.floor = microseconds(t.floor);
  cost.flops = Flops(work.flops);
  cost.bytes = Bytes(work.total_bytes());
  cost.bound = bound_of(t);
  if (does_arithmetic(op)) cost.peak = FlopRate(constants_->peak_or_zero(op.format) * 1e6);
  return cost;
}

std::string OperatorModel::explain(const Operator& op, RunConditions run) const {
  Formula formula;
  static_cast<void>(time_of(op, *constants_, run, &formula));
  return formula.text();
}

OperatorCost cost(const Operator& op, const CostContext& context) {
  const RunConditions run{context.cold_weights, context.held_units};
  if (context.model != nullptr) return context.model->cost(op, run);
  return OperatorModel(*context.cluster, *context.stack).cost(op, run);
}

std::string explain(const Operator& op, const CostContext& context) {
  const RunConditions run{context.cold_weights, context.held_units};
  if (context.model != nullptr) return context.model->explain(op, run);
  return OperatorModel(*context.cluster, *context.stack).explain(op, run);
}

}  // namespace jevons::sim
