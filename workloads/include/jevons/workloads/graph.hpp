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

/// How one layer is run: the batch it sees and the layout it is cut by.
struct LayerContext {
  double tokens = 0;    ///< per rank and micro-batch (after cp), before sequence parallelism
  double sequence = 0;  ///< tokens of one sequence on this rank's cp group
  double batch = 1;     ///< sequences per micro-batch
  Parallelism parallelism;
  Precision precision;
  double load_max_over_mean = 0;   ///< 0: balanced
  bool unfused_attention = false;  ///< scores written to memory (before FlashAttention)
};

/// Forward operators of one layer with their collectives (training and prefill: MLA expanded).
[[nodiscard]] OperatorGraph layer_forward(const ModelConfig& model, const Layer& layer,
                                          const LayerContext& context);
/// Input- and weight-gradient operators of the same layer.
[[nodiscard]] OperatorGraph layer_backward(const ModelConfig& model, const Layer& layer,
                                           const LayerContext& context);

/// A decode (q_len 1, or 1 + draft tokens when verifying) or chunked-prefill step of one layer.
struct DecodeContext {
  double sequences = 1;         ///< decoding sequences on this rank (attention share)
  double query_tokens = 1;      ///< per sequence
  double context = 0;           ///< mean keys per sequence
  double prefill_tokens = 0;    ///< chunk tokens in the same step
  double prefill_position = 0;  ///< mean position of the chunk's tokens
  double layer_tokens = 0;      ///< tokens entering the MoE layer over all expert-parallel ranks
  Parallelism parallelism;
  bool attention_dp = false;
  Precision precision;
  double load_max_over_mean = 0;
};
[[nodiscard]] OperatorGraph layer_decode(const ModelConfig& model, const Layer& layer,
                                         const DecodeContext& context);

}  // namespace jevons::workloads
