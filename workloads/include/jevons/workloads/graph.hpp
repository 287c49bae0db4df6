// The operator graph of one layer or phase: a DAG of operators (Boost.Graph inside graph.cpp only).
#pragma once

#include "jevons/workloads/model.hpp"
#include "jevons/workloads/operators.hpp"
#include "jevons/workloads/parallelism.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace jevons::workloads {

struct Edge {
  std::size_t from = 0, to = 0;
};

struct OperatorGraph {
  std::vector<Operator> operators;
  std::vector<Edge> edges;

  /// Adds an operator that waits for `after`; returns its index.
  std::size_t add(Operator op, std::span<const std::size_t> after);
  std::size_t add(Operator op, std::initializer_list<std::size_t> after);
};

/// Appends `tail`; its first operators wait for every operator of `head` that nothing waits for.
void append(OperatorGraph& head, OperatorGraph tail);

/// Order in which every operator follows those it waits for, ties by index.
/// Throws Error(internal) on a cycle, naming an operator on it.
[[nodiscard]] std::vector<std::size_t> topological_order(const OperatorGraph& graph);
/// Longest path when operator i takes duration[i] seconds: its length and its operators in order.
struct CriticalPath {
  double length = 0.0;
  std::vector<std::size_t> operators;
};
[[nodiscard]] CriticalPath critical_path(const OperatorGraph& graph,
                                         std::span<const double> duration);
[[nodiscard]] std::string to_dot(const OperatorGraph& graph);

/// How one layer is run: the batch it sees and the layout it is cut by. Preconditions, checked by
/// whoever reads the layout: tp divides heads, KV heads (or is a multiple of them: KV replicated),
/// FFN widths and vocabulary; ep divides the experts; cp divides the sequence. Nothing is rounded.
struct LayerContext {
  double tokens = 0;    ///< per rank and micro-batch (after cp), before sequence parallelism
  double sequence = 0;  ///< tokens of one whole sequence, over its cp group
  double batch = 1;     ///< sequences per micro-batch; tokens = batch · sequence / cp
  Parallelism parallelism{};
  Precision precision{};
  double load_max_over_mean = 0;   ///< 0: balanced
  bool unfused_attention = false;  ///< scores written to memory (before FlashAttention)
  bool latent_ring = false;        ///< MLA with cp: latents go round, every rank expands them
  bool causal = true;
  bool training = true;  ///< false: prefill; nothing is kept or cast for a backward pass
};

/// Forward operators of one layer with their collectives (training and prefill: MLA expanded).
[[nodiscard]] OperatorGraph layer_forward(const ModelConfig& model, const Layer& layer,
                                          const LayerContext& context);
/// Input- and weight-gradient operators of the same layer (Phase tells which: zero-bubble and
/// DualPipe split them). Nothing waits for a weight gradient.
[[nodiscard]] OperatorGraph layer_backward(const ModelConfig& model, const Layer& layer,
                                           const LayerContext& context);

/// What the first and last stages add. The vocabulary is cut by tp; head and logits are 16 bit.
[[nodiscard]] OperatorGraph embedding_forward(const ModelConfig& model,
                                              const LayerContext& context);
[[nodiscard]] OperatorGraph embedding_backward(const ModelConfig& model,
                                               const LayerContext& context);
/// Final norm, logits and cross-entropy.
[[nodiscard]] OperatorGraph head_forward(const ModelConfig& model, const LayerContext& context);
[[nodiscard]] OperatorGraph head_backward(const ModelConfig& model, const LayerContext& context);
/// One MTP module without its layer and head, which are layer_forward(mtp_layer) and head_forward:
/// the embedding of the next token, two norms and the projection of both states, 2 d².
[[nodiscard]] OperatorGraph mtp_input_forward(const ModelConfig& model,
                                              const LayerContext& context);
[[nodiscard]] OperatorGraph mtp_input_backward(const ModelConfig& model,
                                               const LayerContext& context);
/// The whole module: input, layer, shared head.
[[nodiscard]] OperatorGraph mtp_forward(const ModelConfig& model, const LayerContext& context);
[[nodiscard]] OperatorGraph mtp_backward(const ModelConfig& model, const LayerContext& context);

/// Activations of one micro-batch sent to the next stage (or gradients to the one before).
[[nodiscard]] Operator stage_transfer(const ModelConfig& model, const LayerContext& context);
/// Update of `parameters` held by this rank after sharding. `moments` 2 for AdamW, 1 for Muon and
/// momentum SGD; AdamW in fp32 with 16-bit weights moves 30 bytes a parameter.
[[nodiscard]] Operator optimizer_update(double parameters, const Precision& precision, int moments);
/// Newton-Schulz orthogonalisation of one rows × columns matrix (Muon, 5 iterations).
[[nodiscard]] Operator muon_iterations(double rows, double columns, double count);
/// Reduce-scatter of the gradients, all-gather of the updated weights, over `ranks`.
[[nodiscard]] Operator gradient_reduce_scatter(double parameters, const Precision& precision,
                                               long ranks, long stride);
[[nodiscard]] Operator gradient_all_reduce(double parameters, const Precision& precision,
                                           long ranks, long stride);
[[nodiscard]] Operator parameter_all_gather(double parameters, const Precision& precision,
                                            long ranks, long stride);

/// One engine step of one layer: decoding sequences (q_len 1, or 1 + draft tokens when verifying),
/// chunks of prompts, or both at once.
struct DecodeContext {
  double sequences = 1;          ///< decoding sequences on this rank (attention share)
  double query_tokens = 1;       ///< per sequence
  double context = 0;            ///< mean keys per sequence
  double prefill_tokens = 0;     ///< chunk tokens in the same step, over all prompts
  double prefill_sequences = 1;  ///< prompts they belong to
  double prefill_position = 0;   ///< mean position of the chunk's tokens = keys they see on average
  double layer_tokens = 0;  ///< tokens entering the MoE layer over all expert-parallel ranks; 0:
                            ///< every rank brings as many as this one
  Parallelism parallelism{};
  /// Attention runs whole on every rank with its own sequences; experts (and, where tp > 1, dense
  /// FFN and head) are cut over the ranks.
  bool attention_dp = false;
  Precision precision{};
  double load_max_over_mean = 0;  ///< 0: tokens draw experts at random
  double redundant_experts = 0;
  [[nodiscard]] double tokens() const { return sequences * query_tokens + prefill_tokens; }
};
[[nodiscard]] OperatorGraph layer_decode(const ModelConfig& model, const Layer& layer,
                                         const DecodeContext& context);
[[nodiscard]] OperatorGraph embedding_decode(const ModelConfig& model,
                                             const DecodeContext& context);
/// Logits and sampling of every query token and of the last token of each prompt chunk.
[[nodiscard]] OperatorGraph head_decode(const ModelConfig& model, const DecodeContext& context);
/// Projection of an MTP draft step (its layer and head are layer_decode and head_decode).
[[nodiscard]] OperatorGraph mtp_input_decode(const ModelConfig& model,
                                             const DecodeContext& context);

/// Whether `tokens` new queries of a sequence with mean position `position` run MLA absorbed: when
/// that takes fewer FLOPs than expanding the cached prefix again (V3: fewer than 170.7 queries).
[[nodiscard]] bool mla_absorbed_is_cheaper(const Attention& attention, double tokens,
                                           double position);

}  // namespace jevons::workloads
