// What the layer graph tests share.
#pragma once

#include "jevons/workloads/graph.hpp"

#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace jevons::workloads::test {

inline ModelConfig preset(std::string_view id) {
  return model(id, "test");
}

inline LayerContext training(double sequence, const Parallelism& layout = {},
                             std::string_view precision = "bf16") {
  return {.tokens = sequence / static_cast<double>(layout.cp),
          .sequence = sequence,
          .batch = 1,
          .parallelism = layout,
          .precision = precision_preset(precision, "test")};
}

using Choice = std::function<bool(const Operator&)>;

/// FLOPs of matrix products with weights: GEMMs and experts.
inline bool is_matmul(const Operator& op) {
  return std::holds_alternative<Gemm>(op.shape) || std::holds_alternative<MoeExperts>(op.shape);
}

inline double flops(const OperatorGraph& graph, const Choice& choice) {
  double total = 0;
  for (const Operator& op : graph.operators) {
    if (choice(op)) total += work_of(op).flops;
  }
  return total;
}

inline const Operator* find(const OperatorGraph& graph, std::string_view name,
                            Phase phase = Phase::forward) {
  for (const Operator& op : graph.operators) {
    if (op.name == name && op.phase == phase) return &op;
  }
  return nullptr;
}

inline double matmul_flops(const OperatorGraph& graph) {
  return flops(graph, is_matmul);
}

inline double core_flops(const OperatorGraph& graph) {
  return flops(graph, [](const Operator& op) {
    return op.module == Module::attention_core && !std::holds_alternative<Elementwise>(op.shape);
  });
}

/// Relative comparison: closed forms agree to rounding.
inline doctest::Approx exactly(double value) {
  return doctest::Approx(value).epsilon(1e-9);
}

}  // namespace jevons::workloads::test
