// Mixture of experts: routing, the experts themselves, and the bias that balances their loads.
//
//   softmax   p = softmax(logits); the k largest; gates p_i (DeepSeek-V2, Mixtral renormalises)
//   sigmoid   p = σ(logits); the k largest of p + bias; gates p_i / Σ p (DeepSeek-V3 report, 2.1.2)
//   groups    only experts of the `group_limit` best groups count: a group's score is its best
//             expert (softmax, V2) or the sum of its two best biased scores (sigmoid, V3)
//   bias      after each batch b_i += u where expert i got less than the mean, -= u where more
#pragma once

#include "jevons/reference/matrix.hpp"
#include "jevons/reference/meter.hpp"

#include <vector>

namespace jevons::reference {

struct RouterShape {
  long experts = 1, top_k = 1;
  long groups = 1, group_limit = 1;
  bool sigmoid = false;
  bool normalise = true;  ///< gates of a token sum to `scaling`
  double scaling = 1.0;   ///< routed_scaling_factor
};
template <class T>
struct Routes {
  std::vector<std::vector<long>> experts;  ///< of each token, best first
  std::vector<std::vector<T>> gates;
  [[nodiscard]] std::vector<double> loads(long experts_total) const;
};
/// logits: tokens x experts; bias: one an expert, or empty.
template <class T>
[[nodiscard]] Routes<T> route(const Matrix<T>& logits, const std::vector<T>& bias,
                              const RouterShape& shape);
/// One step of the aux-loss-free rule.
template <class T>
void update_bias(std::vector<T>& bias, const std::vector<double>& loads, double speed);

/// One expert (or a dense FFN): gate and up side by side, then down.
template <class T>
struct FfnWeights {
  Matrix<T> gate_up;  ///< hidden x 2 m
  Matrix<T> down;     ///< m x hidden
};
template <class T>
[[nodiscard]] Matrix<T> ffn(const Matrix<T>& x, const FfnWeights<T>& w, Meter* meter = nullptr);
/// Routed experts, each run once over the tokens it got, plus the shared ones over all tokens.
template <class T>
[[nodiscard]] Matrix<T> moe(const Matrix<T>& x, const Routes<T>& routes,
                            const std::vector<FfnWeights<T>>& experts,
                            const std::vector<FfnWeights<T>>& shared, Meter* meter = nullptr);

// ---- gradients ----
template <class T>
struct FfnGradients {
  Matrix<T> x;
  FfnWeights<T> w;
};
template <class T>
[[nodiscard]] FfnGradients<T> ffn_backward(const Matrix<T>& x, const FfnWeights<T>& w,
                                           const Matrix<T>& dout, Meter* meter = nullptr);
template <class T>
struct MoeGradients {
  Matrix<T> x;
  std::vector<FfnWeights<T>> experts, shared;
  std::vector<std::vector<T>> gates;  ///< of Routes::gates
};
template <class T>
[[nodiscard]] MoeGradients<T> moe_backward(const Matrix<T>& x, const Routes<T>& routes,
                                           const std::vector<FfnWeights<T>>& experts,
                                           const std::vector<FfnWeights<T>>& shared,
                                           const Matrix<T>& dout, Meter* meter = nullptr);
/// Gradient of the logits of a sigmoid router with normalised gates.
template <class T>
[[nodiscard]] Matrix<T> route_backward(const Matrix<T>& logits, const Routes<T>& routes,
                                       const std::vector<std::vector<T>>& dgates,
                                       const RouterShape& shape);

}  // namespace jevons::reference
