// Small models shaped like real ones.
#pragma once

#include "jevons/workloads/graph.hpp"
#include "jevons/workloads/model.hpp"

#include <nlohmann/json.hpp>

#include <vector>

inline jevons::workloads::ModelConfig toy(long vocab = 40, long q_rank = 20) {
  const jevons::Json config{{"model_type", "deepseek_v3"},
                            {"num_hidden_layers", 3},
                            {"hidden_size", 32},
                            {"num_attention_heads", 4},
                            {"q_lora_rank", q_rank},
                            {"kv_lora_rank", 12},
                            {"qk_nope_head_dim", 8},
                            {"qk_rope_head_dim", 4},
                            {"v_head_dim", 6},
                            {"intermediate_size", 48},
                            {"moe_intermediate_size", 10},
                            {"n_routed_experts", 8},
                            {"n_shared_experts", 1},
                            {"num_experts_per_tok", 3},
                            {"first_k_dense_replace", 1},
                            {"n_group", 4},
                            {"topk_group", 2},
                            {"vocab_size", vocab},
                            {"num_nextn_predict_layers", 1}};
  return jevons::workloads::model_from_config(config, "toy");
}

inline jevons::workloads::ModelConfig toy_gqa() {
  const jevons::Json config{
      {"hidden_size", 24},        {"num_hidden_layers", 2}, {"num_attention_heads", 4},
      {"num_key_value_heads", 2}, {"head_dim", 6},          {"intermediate_size", 20},
      {"vocab_size", 30},         {"sliding_window", 5}};
  return jevons::workloads::model_from_config(config, "toy");
}

inline std::vector<long> some_tokens(long count, long vocab) {
  std::vector<long> out;
  for (long i = 0; i < count; ++i) out.push_back((i * 7 + i * i * 3 + 1) % vocab);
  return out;
}

/// FLOPs of a graph, and bytes of its weights, activations, caches and gradients. Element-wise
/// operators claim FLOPs only where they hold a product (the router).
struct Claim {
  double flops = 0, weights = 0, activations = 0, kv_cache = 0, gradients = 0;
};
inline Claim claim_of(const jevons::workloads::OperatorGraph& graph,
                      jevons::workloads::Counting counting = jevons::workloads::Counting::exact) {
  using jevons::workloads::TensorClass;
  Claim sum;
  for (const auto& op : graph.operators) {
    const jevons::workloads::Work w = work_of(op, counting);
    const auto bytes = [&](TensorClass c) { return w.bytes[static_cast<std::size_t>(c)]; };
    sum.flops += w.flops;
    sum.weights += bytes(TensorClass::weights);
    sum.activations += bytes(TensorClass::activations);
    sum.kv_cache += bytes(TensorClass::kv_cache);
    sum.gradients += bytes(TensorClass::gradients);
  }
  return sum;
}
