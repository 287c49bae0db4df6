// The cost functions of the operator families (one file each) behind OperatorModel::cost().
#pragma once

#include "kernel_constants.hpp"

#include "jevons/sim/operator_cost.hpp"

#include <cmath>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace jevons::sim {

/// Collects the lines of `explain`; a null pointer costs one branch.
class Formula {
 public:
  /// "text", then name = value pairs.
  void line(std::string_view text,
            std::initializer_list<std::pair<std::string_view, double>> values = {});
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// Terms in microseconds.
struct KernelTime {
  double total = 0, compute = 0, memory = 0, floor = 0;
  bool network = false;
};

[[nodiscard]] KernelTime gemm_time(const workloads::Gemm& shape, const workloads::Operator& op,
                                   const KernelConstants& c, RunConditions run, Formula* formula);
[[nodiscard]] KernelTime moe_time(const workloads::MoeExperts& shape, const workloads::Operator& op,
                                  const KernelConstants& c, RunConditions run, Formula* formula);
[[nodiscard]] KernelTime attention_time(const workloads::AttentionCore& shape,
                                        const workloads::Operator& op, const KernelConstants& c,
                                        RunConditions run, Formula* formula);
[[nodiscard]] KernelTime mla_decode_time(const workloads::MlaDecode& shape,
                                         const workloads::Operator& op, const KernelConstants& c,
                                         RunConditions run, Formula* formula);
[[nodiscard]] KernelTime collective_time(const workloads::Collective& shape,
                                         const workloads::Operator& op, const KernelConstants& c,
                                         RunConditions run, Formula* formula);
[[nodiscard]] KernelTime exchange_time(const workloads::MoeExchange& shape,
                                       const KernelConstants& c, Formula* formula);

/// The kernel family of an operator's formats on this chip, and the bytes of its operands.
struct GemmFormat {
  GemmType type = GemmType::bf16;
  double peak = 0;              ///< FLOP per us
  double weight_bytes = 2;      ///< per element, scales included
  double payload_bytes = 2;     ///< of the weight, without scales
  double activation_bytes = 2;  ///< as the kernel reads it
};
[[nodiscard]] GemmFormat gemm_format(const workloads::Operator& op, const KernelConstants& c);

/// Smallest whole number that is at least x (x >= 0): std::ceil without the call.
[[nodiscard]] inline double whole(double x) {
  const auto down = static_cast<double>(static_cast<long>(x));
  return down + (down < x ? 1.0 : 0.0);
}

/// Bytes through DRAM with the start-up of the stream: D/B + (s/B)(1 - exp(-D/s)).
[[nodiscard]] inline double dram_time(double bytes, double rate, double startup) {
  const double ramp = startup > 0 ? startup * (1 - std::exp(-bytes / startup)) : 0;
  return (bytes + ramp) / rate;
}

/// Time of a pipeline with the best chunk size: t + 2 sqrt(gamma t).
[[nodiscard]] inline double ramped(double time, double gamma) {
  return time + 2 * std::sqrt(gamma * time);
}

}  // namespace jevons::sim
