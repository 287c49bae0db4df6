// Builds the forward graph of a part of a model and mirrors it into its backward graph, so that
// both come from one description. Private to workloads.
//
// Tensor parallelism is Megatron's: column-split projections in, row-split out; without sequence
// parallelism an all-reduce leaves the region (forward) and one enters it (backward); with it an
// all-gather enters and a reduce-scatter leaves, mirrored, and the input is gathered a second time
// for the weight gradients (Korthikanti et al., arXiv 2205.05198).
// Casts: a low-precision GEMM reads operands that were quantised before it: its input in the
// forward pass, the output gradient in the backward pass. In training both are written twice, by
// rows and by columns, for the weight gradient contracts over tokens; fp8-block keeps the row tiles
// only and requantises the input in the backward pass (DeepSeek-V3 report, section 3.3.2).
#pragma once

#include "jevons/workloads/graph.hpp"

#include <cstddef>
#include <initializer_list>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

namespace jevons::workloads::detail {

/// A format in which GEMM operands are narrower than the tensors between operators.
[[nodiscard]] bool quantised(const Precision& precision);
/// Storage format of GEMM inputs.
[[nodiscard]] NumberFormat gemm_input(const Precision& precision);

/// Format of the indexer's queries and keys: fp8 with a scale per 128 where GEMMs are fp8.
[[nodiscard]] NumberFormat index_format(const Precision& precision);

inline constexpr std::size_t kInput = std::numeric_limits<std::size_t>::max();

/// Bytes an element-wise operator moves, forward and backward.
struct Traffic {
  double read = 0, written = 0;
  double back_read = 0, back_written = 0;
  double flops = 0;
  double launches = 1, back_launches = 1;
};

class Builder {
 public:
  using After = std::initializer_list<std::size_t>;

  Builder(const ModelConfig& model, const LayerContext& context, bool for_backward);
  /// For an engine step: `context` is what this part of the layer sees of it.
  Builder(const ModelConfig& model, const LayerContext& context, const DecodeContext& step);

  /// y[m, n] = x[m, k] · W[k, n], `groups` times; the input must have been quantised.
  std::size_t linear(std::string_view name, Module module, double m, double n, double k,
                     std::size_t after, double groups = 1);
  /// The same in 16 bit whatever the preset (output head; absorbed MLA projections, which engines
  /// keep dequantised).
  std::size_t wide_linear(std::string_view name, Module module, double m, double n, double k,
                          std::size_t after, double groups = 1);
  /// Cast of a GEMM input; nothing when operands are stored as they are computed.
  std::size_t quantise(Module module, double elements, std::size_t after);
  /// The same to a named format, whatever GEMMs take (dispatch).
  std::size_t quantise_as(NumberFormat format, Module module, double elements, std::size_t after);
  std::size_t elementwise(std::string_view name, Module module, const Traffic& traffic,
                          After after);
  std::size_t norm(std::string_view name, double elements, std::size_t after);
  std::size_t residual(double elements, After after);
  /// Residual addition and norm in one kernel, as serving engines run them.
  std::size_t add_norm(std::string_view name, double elements, std::size_t after);
  std::size_t core(std::string_view name, Shape shape, After after);
  /// Attention core that reads its keys from the cache, stored as `cache`.
  std::size_t cached_core(std::string_view name, Shape shape, NumberFormat cache, After after);
  /// Scores of the sparse-attention indexer, fp8 where the job has it.
  std::size_t indexer_scores(const AttentionCore& shape, After after);
  std::size_t experts(const MoeExperts& shape, std::size_t after);
  std::size_t exchange(bool combine, double tokens, const FeedForward& ffn, std::size_t after);
  /// Ring exchange of keys and values under context parallelism; runs beside the attention core.
  std::size_t ring(double bytes_per_hop, std::size_t after);

  /// The next operator waits for `op` as well.
  void also_wait(std::size_t op) { also_ = op; }

  /// Into and out of a tensor-parallel region of rows of `width` elements.
  std::size_t enter(double width, std::size_t after);
  std::size_t leave(double width, std::size_t after);
  /// Between the two calls enter() and leave() do nothing: both halves of a parallel block share
  /// one region (PaLM: one reduction a layer).
  std::size_t open_region(std::size_t after);
  std::size_t close_region(std::size_t after);
  /// Each tensor-parallel rank goes on with its share of replicated tokens: free forward, the
  /// gradients are gathered.
  std::size_t slice(double width, std::size_t after);
  /// All-gather / reduce-scatter / all-reduce over any group; gather and scatter mirror each other.
  std::size_t collective(std::string_view name, Module module, CollectiveKind kind, double bytes,
                         long ranks, long stride, std::size_t after);
  /// All-reduce over tp whose gradient passes through.
  std::size_t reduce_forward(std::string_view name, Module module, double bytes, std::size_t after);

  [[nodiscard]] double tp() const { return static_cast<double>(context_.parallelism.tp); }
  [[nodiscard]] double cp() const { return static_cast<double>(context_.parallelism.cp); }
  [[nodiscard]] bool sp() const { return context_.parallelism.sp && context_.parallelism.tp > 1; }
  /// Bytes of an element between operators.
  [[nodiscard]] double width() const { return width_; }
  [[nodiscard]] double tokens() const { return context_.tokens; }
  /// Tokens of one rank outside tensor-parallel regions.
  [[nodiscard]] double local_tokens() const { return sp() ? tokens() / tp() : tokens(); }
  [[nodiscard]] double hidden() const { return static_cast<double>(model_.hidden); }
  [[nodiscard]] const ModelConfig& model() const { return model_; }
  [[nodiscard]] const LayerContext& context() const { return context_; }
  /// The engine step being built; null in training and whole-prompt prefill.
  [[nodiscard]] const DecodeContext* step() const { return step_; }

  [[nodiscard]] OperatorGraph forward() { return std::move(graph_); }
  [[nodiscard]] OperatorGraph backward() const;

 private:
  /// What a forward operator becomes in the backward pass.
  enum class Mirror : unsigned char {
    pass,      ///< nothing: the gradient passes through
    self,      ///< the stored backward operator
    gemm,      ///< input and weight gradient
    experts,   ///< the same for grouped experts
    regather,  ///< the stored operator, and the forward one again for the weight gradients
  };
  struct Reverse {
    Mirror mirror = Mirror::pass;
    Shape shape;                    ///< of the backward operator when `self` or `regather`
    std::size_t gathered = kInput;  ///< the regather operator whose output this one passes on
  };
  std::size_t push(Operator op, Mirror mirror, Shape back, After after);
  [[nodiscard]] Operator make(std::string_view name, Module module, Shape shape) const;
  /// Adds the backward operators of `node`; `done` holds what its output gradient waits for and
  /// receives what its input gradient is ready after.
  void reverse(OperatorGraph& out, std::size_t node, std::vector<std::size_t>& done,
               const std::vector<std::size_t>& regathered) const;
  void reverse_gemm(OperatorGraph& out, std::size_t node, std::vector<std::size_t>& done,
                    const std::vector<std::size_t>& regathered) const;
  void reverse_experts(OperatorGraph& out, std::size_t node, std::vector<std::size_t>& done) const;
  /// Cast of an output gradient to the operand format (rows and columns).
  void cast_gradient(OperatorGraph& out, const Operator& op, double elements,
                     std::vector<std::size_t>& done) const;
  /// fp8-block: the kept input goes from row to column tiles before a weight gradient.
  void requantise(OperatorGraph& out, const Operator& op, double elements,
                  std::vector<std::size_t>& waits) const;

  const ModelConfig& model_;
  const LayerContext& context_;
  const DecodeContext* step_ = nullptr;
  bool for_backward_;
  bool region_open_ = false;
  double width_;
  std::size_t also_ = kInput;
  OperatorGraph graph_;
  std::vector<Reverse> reverse_;
};

// Parts of a layer. Each takes and returns the operator that produces its input and output.
std::size_t build_attention(Builder& b, const Attention& attention, std::size_t input);
/// Expanded MLA; the caller leaves the tensor-parallel region.
std::size_t build_mla(Builder& b, const Attention& attention, std::size_t input);
/// State-space, linear-attention and retention mixers.
std::size_t build_recurrent(Builder& b, const Attention& attention, std::size_t input);
std::size_t build_ffn(Builder& b, const FeedForward& ffn, std::size_t input);
void build_layer(Builder& b, const Layer& layer);
std::size_t build_embedding(Builder& b, std::size_t after);
void build_mtp_input(Builder& b);
/// Engine-step forms of the mixers.
std::size_t decode_attention(Builder& b, const Attention& attention, std::size_t input);
std::size_t decode_mla(Builder& b, const Attention& attention, std::size_t input);

/// The attention core of this rank under context parallelism: the ring's zigzag shares are cp
/// blocks of q = kv = s/cp each, which gives every rank the same FLOPs.
[[nodiscard]] AttentionCore training_core(const Attention& attention, const LayerContext& context,
                                          AttentionPhase phase);

/// Format of one layer's cache entries: the job's, except DSA's fp8 record of 656 B (512 fp8
/// values, scales, rope part in bf16).
[[nodiscard]] NumberFormat cache_format(const Attention& attention, const Precision& precision);

/// FLOPs of one recurrent step, without a chunk's inner products.
[[nodiscard]] double recurrent_step_flops(const Attention& attention);
/// FLOPs of a recurrent core per token (heads not yet split).
[[nodiscard]] double recurrent_flops(const Attention& attention);
/// Elements of its state per sequence.
[[nodiscard]] double recurrent_state(const Attention& attention);

}  // namespace jevons::workloads::detail
