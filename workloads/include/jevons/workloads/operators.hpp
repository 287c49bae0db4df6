// Operators: what one kernel or collective is asked to do. Shapes only; time is sim's business.
// FLOPs count a multiply-add as two. Bytes are split by tensor class.
#pragma once

#include "jevons/core/precision.hpp"
#include "jevons/core/units.hpp"

#include <array>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace jevons::workloads {

/// (m × k) · (k × n), `groups` times with the same shape. `b` is the weight (or second) operand.
struct Gemm {
  double m = 0, n = 0, k = 0, groups = 1;
  double output_bytes = 2;  ///< per element; weight gradients add into fp32: 8
  bool weight_gradient = false;
  friend bool operator==(const Gemm&, const Gemm&) = default;
};

enum class AttentionPhase { forward, backward, decode };

/// Scaled-dot-product attention core over a batch of equal sequences.
struct AttentionCore {
  AttentionPhase phase = AttentionPhase::forward;
  double batch = 1, heads = 1, kv_heads = 1;
  double q_len = 1, kv_len = 1;
  double qk_dim = 128, v_dim = 128;
  double window = 0;  ///< 0 = none
  bool causal = true;
  bool mla = false;  ///< expanded MLA: keys share the rope part, engine kernels (192/128)
  friend bool operator==(const AttentionCore&, const AttentionCore&) = default;
};

/// MLA decode in absorbed (MQA) mode.
struct MlaDecode {
  double batch = 1, heads = 128, q_len = 1, kv_len = 1, kv_lora_rank = 512, rope_dim = 64;
  friend bool operator==(const MlaDecode&, const MlaDecode&) = default;
};

/// Device copy: `bytes` read and as many written.
struct Copy {
  double bytes = 0;
  friend bool operator==(const Copy&, const Copy&) = default;
};

/// Element-wise, norm, rotary, cast, router, cross-entropy, optimizer: bound by bytes moved.
struct Elementwise {
  double bytes_read = 0, bytes_written = 0, flops = 0;
  double launches = 1;  ///< kernels, unless the stack fuses them
  friend bool operator==(const Elementwise&, const Elementwise&) = default;
};

/// Selective scan (Mamba), linear attention or retention core.
struct Scan {
  double tokens = 0, flops = 0, bytes = 0;
  friend bool operator==(const Scan&, const Scan&) = default;
};

enum class CollectiveKind { all_reduce, all_gather, reduce_scatter, all_to_all, p2p };

/// `bytes`: the full buffer on one rank, as nccl-tests counts.
struct Collective {
  CollectiveKind kind = CollectiveKind::all_reduce;
  double bytes = 0;
  long ranks = 1;
  long stride = 1;  ///< distance of neighbouring ranks in the global numbering
  friend bool operator==(const Collective&, const Collective&) = default;
};

/// Expert-parallel exchange of one layer.
struct MoeExchange {
  bool combine = false;                                        ///< else dispatch
  bool low_latency = false;                                    ///< else throughput kernels
  double tokens = 0;                                           ///< per rank
  double hidden = 0, top_k = 1, experts = 1, group_limit = 0;  ///< group_limit 0 = none
  long ranks = 1;
  long stride = 1;
  double bytes_per_element = 2;
  double sms = 0;  ///< SMs the kernel may hold; 0 = what the stack says
  friend bool operator==(const MoeExchange&, const MoeExchange&) = default;
};

enum class Routing { balanced, power_law };

/// Gate, up and down projections of the routed experts on the most loaded rank, no communication.
struct MoeExperts {
  double tokens = 0;  ///< entering the layer over all ranks of the expert-parallel group
  double hidden = 0, intermediate = 0, top_k = 1, experts = 1;
  long ep = 1, etp = 1;
  Routing routing = Routing::balanced;
  double power_law = 0;           ///< exponent when routing is power_law
  double load_max_over_mean = 0;  ///< measured; 0 = from the routing model
  bool gated = true;
  bool backward_weight = false;  ///< the weight-gradient pass of the same experts
  friend bool operator==(const MoeExperts&, const MoeExperts&) = default;
};

using Shape = std::variant<Gemm, AttentionCore, MlaDecode, Copy, Elementwise, Scan, Collective,
                           MoeExchange, MoeExperts>;

enum class Phase { forward, input_gradient, weight_gradient, optimizer };

enum class TensorClass { weights, activations, kv_cache, gradients, optimizer, network };
inline constexpr std::size_t kTensorClasses = 6;

struct Operator {
  std::string name;  ///< "q_b_proj", "attention_core", "dispatch" …
  Shape shape;
  NumberFormat format;         ///< arithmetic
  NumberFormat weight_format;  ///< storage of the second operand
  NumberFormat
      activation_format;  ///< storage of the first operand and of the KV cache for attention
  Phase phase = Phase::forward;
};

/// What an operator does, whatever the chip: FLOPs in its format and bytes by tensor class.
struct Work {
  double flops = 0;
  std::array<double, kTensorClasses> bytes{};
  [[nodiscard]] double total_bytes() const;
};
[[nodiscard]] Work work_of(const Operator& op);

[[nodiscard]] std::string_view kind_name(const Shape& shape);

}  // namespace jevons::workloads
