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

/// (m × k) · (k × n), `groups` times with the same shape. The (k × n) matrix is the weight. As a
/// weight gradient m, n are the output and input widths of the layer and k its tokens: both
/// operands are activations and the product is added into the gradient.
struct Gemm {
  double m = 0, n = 0, k = 0, groups = 1;
  double output_bytes = 2;  ///< per element; weight gradients add into fp32 (read, write): 8
  bool weight_gradient = false;
  friend bool operator==(const Gemm&, const Gemm&) = default;
};

enum class AttentionPhase { forward, backward, decode };

/// Scaled-dot-product attention core over a batch of equal sequences. Forward and backward: the
/// queries are the last q_len of kv_len positions. Decode: every query sees all kv_len keys (or the
/// window), and keys and values come from the cache.
struct AttentionCore {
  AttentionPhase phase = AttentionPhase::forward;
  double batch = 1, heads = 1, kv_heads = 1;
  double q_len = 1, kv_len = 1;
  double qk_dim = 128, v_dim = 128;
  double window = 0;  ///< 0 = none
  bool causal = true;
  bool mla = false;  ///< expanded MLA: keys share the rope part, engine kernels (192/128)
  double ahead =
      0;  ///< decode with q_len > 1: keys that the last query sees beyond kv_len, the mean
  friend bool operator==(const AttentionCore&, const AttentionCore&) = default;
};

/// MLA in absorbed (MQA) mode: decode, short chunks and sparse (DSA) attention. With `sparse` each
/// query gathers kv_len keys of its own (q_len 1, batch = query tokens).
struct MlaDecode {
  double batch = 1, heads = 128, q_len = 1, kv_len = 1, kv_lora_rank = 512, rope_dim = 64;
  bool sparse = false;
  bool backward = false;  ///< gradients of the same core (training with sparse attention)
  double ahead = 0;       ///< keys that the last query sees beyond kv_len, the mean; not if sparse
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
  double state_bytes = 0;  ///< recurrent state read and written in memory (decode)
  friend bool operator==(const Scan&, const Scan&) = default;
};

enum class CollectiveKind { all_reduce, all_gather, reduce_scatter, all_to_all, p2p };

/// `bytes`: the full buffer on one rank, as nccl-tests counts. p2p over more than two ranks is a
/// ring (context parallelism): `bytes` is what one rank sends in all of its ranks − 1 hops.
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

/// balanced: every expert gets the same number of rows (to the last token). uniform: each token
/// draws its experts at random with equal chances. power_law: popularity falls as rank^-exponent.
enum class Routing { balanced, uniform, power_law };

/// Gate, up and down projections of the routed experts on the most loaded rank, no communication.
struct MoeExperts {
  double tokens = 0;  ///< entering the layer over all ranks of the expert-parallel group
  double hidden = 0, intermediate = 0, top_k = 1, experts = 1;
  double redundant = 0;  ///< copies of popular experts beside the `experts`, over all ranks
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

/// The part of a layer an operator belongs to; recompute lists pick by it.
enum class Module {
  other,           ///< residual additions and transfers
  norm,            ///< layer norms and latent norms
  attention_proj,  ///< q, k, v, output and low-rank down projections, rotary
  mla_up_proj,     ///< expansion of queries, keys and values from their latents
  attention_core,  ///< softmax attention or recurrent scan
  indexer,         ///< scores and top-k of sparse attention
  mlp,             ///< dense FFN with its activation
  router,          ///< gate, top-k, permutation and un-permutation of tokens
  moe_act,         ///< activation function of routed and shared experts
  experts,         ///< projections of the routed experts
  shared_experts,  ///< projections of the shared experts
  exchange,        ///< dispatch and combine
  embedding,
  head,  ///< final norm, logits, cross-entropy, sampling
  mtp_proj,
  optimizer,
  reduction  ///< gradient reduction, parameter gathering
};
[[nodiscard]] std::string_view to_string(Module module);
/// Whether recomputing `name` (norm, mla_up_proj, mlp, moe_act, attention_core, layer: contract,
/// train.recompute) runs this module's forward operators again. Unknown names match nothing.
[[nodiscard]] bool recomputed(Module module, std::string_view name);

enum class TensorClass { weights, activations, kv_cache, gradients, optimizer, network };
inline constexpr std::size_t kTensorClasses = 6;

struct Operator {
  std::string name;  ///< "q_b_proj", "core_attention" …; at most 15 characters: no allocation
  Shape shape;
  NumberFormat format;         ///< arithmetic
  NumberFormat weight_format;  ///< storage of the second operand
  NumberFormat
      activation_format;  ///< storage of the first operand and of the KV cache for attention
  Phase phase = Phase::forward;
  Module module = Module::other;
};

/// What an operator does, whatever the chip: FLOPs in its format and bytes by tensor class.
struct Work {
  double flops = 0;
  std::array<double, kTensorClasses> bytes{};
  [[nodiscard]] double total_bytes() const;
};
/// How causal keys are counted. published: s/2 for a query of a whole sequence of s, as papers and
/// the metrics do. exact: a query sees itself too, (s + 1)/2: what a kernel does, to the last pair.
enum class Counting { published, exact };
[[nodiscard]] Work work_of(const Operator& op, Counting counting = Counting::published);

/// Keys a query sees on average when the queries are the last `queries` of `keys` positions, as
/// published (causal: s/2 of a whole sequence of s; window w: w − w²/(2s)).
[[nodiscard]] double mean_keys_seen(double queries, double keys, double window, bool causal);
/// Pairs of query and key that a kernel meets: Σ min(position + 1, window) over the queries.
[[nodiscard]] double pairs_seen(double queries, double keys, double window, bool causal);
/// Expected distinct experts that `tokens` tokens hit when each draws k of E: E(1 − (1 − k/E)^B).
[[nodiscard]] double expected_distinct_experts(double experts, double top_k, double tokens);
/// Expected distinct groups (ranks, nodes) of E/groups experts each that one token's k experts,
/// drawn without replacement, fall into; at most `group_limit` groups when it is not 0:
/// T (1 − C(E/G (T − 1), k) / C(E/G T, k)), formulas of node-limited routing.
[[nodiscard]] double expected_distinct_groups(double experts, double top_k, double groups,
                                              double group_limit);
/// Rows (token copies) of the most loaded expert-parallel rank; load 0 counts as balanced.
[[nodiscard]] double expert_rows(const MoeExperts& experts);
/// Experts on that rank that get at least one row.
[[nodiscard]] double experts_hit(const MoeExperts& experts);

/// gemm, grouped_gemm, attention, mla_decode, copy, elementwise, scan, all_reduce, all_gather,
/// reduce_scatter, all_to_all, p2p, moe_dispatch, moe_combine, moe_experts.
[[nodiscard]] std::string_view kind_name(const Shape& shape);

}  // namespace jevons::workloads
