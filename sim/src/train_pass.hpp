// Time of one pass (forward, backward, recompute) of one piece of the model, from its operators.
//
// Compute adds up. Collectives are classed by the group they run over and split into what the stack
// hides behind compute and what blocks:
//   tp   hidden share = stack tp_overlap, only with sequence parallelism
//   cp   the ring hides behind 0.8 of the attention core
//   ep   hidden share = stack ep_overlap
// The stack's own losses sit on top: GEMM rate and element-wise rate relative to the kernels of the
// chip (layout copies, older libraries), clock under sustained load.
// Source: closed form of the training step (954 measured steps); operator times from kernel tables.
// Range: training layers of every kind. Known error: skew between ranks is inside the stack
// factors.
#pragma once

#include "jevons/sim/operator_cost.hpp"
#include "jevons/sim/training_plan.hpp"
#include "jevons/workloads/graph.hpp"

#include <array>
#include <functional>
#include <string_view>

namespace jevons::sim::detail {

enum class Kind { gemm, experts, attention, elementwise, tp, cp, ep, fsdp };
inline constexpr std::size_t kKinds = 8;
using KindSeconds = std::array<double, kKinds>;
[[nodiscard]] std::string_view to_string(Kind kind);

/// Constants of the stack and chip that a pass needs, looked up once.
struct PassRules {
  double tp_hidden = 0, ep_hidden = 0;   ///< shares
  std::array<double, 3> clock{1, 1, 1};  ///< sustained over table rate: 16-, 8-, 4-bit GEMMs
  double gemm_scale = 1;                 ///< of the chip's achieved rates
  double per_expert = 0;  ///< s, of each local expert in each grouped GEMM: launch and wave tail
  double attention_scale = 1;
  double elementwise_scale = 1;
  bool behind_shared_experts = false;  ///< outside pairs the exchange hides behind these alone
  bool deduplicate = false;  ///< expert exchange by node-aware kernels; else one copy per expert
  bool low_precision_gather = false;  ///< tensor-parallel gathers carry GEMM inputs after the cast
  double skew = 0;                    ///< s, wait of a collective for its slowest rank
  double ring_wait = 0;               ///< s, of a tensor-parallel ring that crosses nodes
  double host_per_collective = 0;
  double host_share = 1;  ///< 0: the step is captured in a graph
};
[[nodiscard]] PassRules pass_rules(const Scenario& scenario);

struct PassCost {
  PassTimes times;
  KindSeconds seconds{};      ///< GPU time by kind, nothing hidden
  double shared_experts = 0;  ///< seconds of their projections
  double attention = 0;       ///< seconds of the core, what a ring hides behind
  double collectives = 0;
};

/// Whether an operator belongs to the pass.
using Chosen = std::function<bool(const workloads::Operator&)>;

[[nodiscard]] PassCost pass_cost(const workloads::OperatorGraph& graph, const Chosen& chosen,
                                 const OperatorModel& model, const PassRules& rules);

/// Seconds of one operator as a pass counts them: the kernel's with the stack's losses.
[[nodiscard]] double operator_seconds(const workloads::Operator& op, const OperatorModel& model,
                                      const PassRules& rules);

/// GPU time with what is not hidden; the host's floor is the caller's business.
[[nodiscard]] Seconds gpu_time(const PassTimes& pass);
/// Forward of a piece, and its backward with recompute: max(GPU, host).
[[nodiscard]] Seconds forward_time(const PieceTimes& piece);
[[nodiscard]] Seconds backward_time(const PieceTimes& piece);

}  // namespace jevons::sim::detail
