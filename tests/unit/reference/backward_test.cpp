#include "jevons/reference/backward.hpp"

#include "finite_differences.hpp"
#include "random.hpp"
#include "toy.hpp"

#include "jevons/reference/gemm.hpp"

#include <doctest/doctest.h>

#include <cmath>

using namespace jevons::reference;
namespace wl = jevons::workloads;

namespace {

double dot(const Matrix<double>& a, const Matrix<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a.data()[i] * b.data()[i];
  return sum;
}

}  // namespace

TEST_CASE("backward: RMSNorm, RoPE and cross-entropy equal finite differences") {
  auto x = random_matrix(3, 8, 1);
  std::vector<double> gain{1, 0.5, 2, 1.5, 1, -1, 0.2, 3};
  const auto seed = random_matrix(3, 8, 2);
  const auto g = rms_norm_backward(x, gain, 1e-3, seed);
  const auto norm = [&] { return dot(rms_norm(x, gain, 1e-3), seed); };
  agree(x.data(), g.x.data(), 1, norm);
  agree(gain, g.gain, 1, norm);

  Rope yarn;
  yarn.factor = 40;
  const auto turned = [&] {
    auto y = x;
    apply_rope(y, 2, 4, 5, yarn);
    return dot(y, seed);
  };
  auto back = seed;
  rope_backward(back, 2, 4, 5, yarn);
  agree(x.data(), back.data(), 1, turned);

  const std::vector<long> targets{7, 0, 3};
  const auto loss = cross_entropy(x, targets);
  agree(x.data(), loss.dlogits.data(), 1, [&] { return cross_entropy(x, targets).value; });
  CHECK(cross_entropy(Matrix<double>(2, 16), {0, 5}).value == doctest::Approx(std::log(16.0)));
}

TEST_CASE("backward: every weight of a dense and of an expert MLA layer has its true gradient") {
  for (const long q_rank : {20L, 0L}) {
    Model<double> model(toy(40, q_rank), 4);
    for (const long index : {0L, 2L}) {
      auto x = random_matrix(6, 32, 5);
      const auto seed = random_matrix(6, 32, 6);
      const auto loss = [&] {
        Matrix<double> cache;
        return dot(model.layer(index, x, cache, MlaMode::expanded), seed);
      };
      const auto g = layer_backward(model, index, x, seed);
      LayerWeights<double>& w = model.weights().layers[static_cast<std::size_t>(index)];
      agree(x.data(), g.x.data(), 5, loss);
      agree(w.input_norm, g.w.input_norm, 7, loss);
      agree(w.ffn_norm, g.w.ffn_norm, 7, loss);
      agree(w.mla.q_b.data(), g.w.mla.q_b.data(), 61, loss);
      agree(w.mla.kv_a.data(), g.w.mla.kv_a.data(), 37, loss);
      agree(w.mla.kv_norm, g.w.mla.kv_norm, 3, loss);
      agree(w.mla.kv_b.data(), g.w.mla.kv_b.data(), 41, loss);
      agree(w.mla.o.data(), g.w.mla.o.data(), 43, loss);
      if (q_rank > 0) {
        agree(w.mla.q_a.data(), g.w.mla.q_a.data(), 41, loss);
        agree(w.mla.q_norm, g.w.mla.q_norm, 3, loss);
      }
      if (index == 0) {
        agree(w.dense.gate_up.data(), g.w.dense.gate_up.data(), 211, loss);
        agree(w.dense.down.data(), g.w.dense.down.data(), 97, loss);
      } else {
        agree(w.router.data(), g.w.router.data(), 17, loss);
        agree(w.shared[0].down.data(), g.w.shared[0].down.data(), 29, loss);
        agree(w.experts[1].gate_up.data(), g.w.experts[1].gate_up.data(), 61, loss);
      }
    }
  }
}

TEST_CASE("counting: forward and backward of a layer are three forwards, as 6 N assumes") {
  const auto config = toy();
  const Model<double> model(config, 1);
  const auto x = random_matrix(8, 32, 5), seed = random_matrix(8, 32, 6);
  Meter forward, backward;
  Matrix<double> cache;
  (void)model.layer(1, x, cache, MlaMode::expanded, &forward);
  (void)layer_backward(model, 1, x, seed, &backward);
  const double pairs = 8 * 9 / 2.0, scores = pairs * 4 * 12;  // the flash backward's recompute
  CHECK(backward.multiply_adds == 2 * forward.multiply_adds + scores);
}

TEST_CASE("backward: a step against the gradient lowers the loss of the whole head") {
  Model<double> model(toy(), 9);
  const auto tokens = some_tokens(12, 40);
  std::vector<long> targets(tokens.begin() + 1, tokens.end());
  targets.push_back(0);
  Cache<double> cache;
  const auto h = model.hidden(tokens, cache, MlaMode::expanded);
  const auto before = cross_entropy(model.logits(h), targets);
  const auto normed = rms_norm(h, model.weights().final_norm, 1e-6);
  const auto dhead = gemm_at(normed, before.dlogits);
  const auto loss = [&] { return cross_entropy(model.logits(h), targets).value; };
  agree(model.weights().head.data(), dhead.data(), 131, loss);
  for (std::size_t i = 0; i < dhead.size(); ++i) {
    model.weights().head.data()[i] -= 0.5 * dhead.data()[i];
  }
  CHECK(loss() < before.value);
}
