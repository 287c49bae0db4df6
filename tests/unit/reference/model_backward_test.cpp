// The gradient of the whole toy model, embedding to loss, against central differences.
#include "finite_differences.hpp"
#include "toy.hpp"

#include "jevons/reference/backward.hpp"

using namespace jevons::reference;

namespace {

struct Job {
  std::vector<long> tokens, targets;
};
Job job(long count) {
  Job j{some_tokens(count, 40), {}};
  j.tokens[1] = j.tokens[3];  // a token that comes twice
  j.targets.assign(j.tokens.begin() + 1, j.tokens.end());
  j.targets.push_back(0);
  return j;
}

double loss_of(const Model<double>& model, const Job& j) {
  Cache<double> cache;
  return cross_entropy(model.logits(model.hidden(j.tokens, cache, MlaMode::expanded)), j.targets)
      .value;
}

/// Every weight tensor of a layer that has a gradient; experts the router left out have none.
template <class Function>
void agree_layer(LayerWeights<double>& w, const LayerWeights<double>& g, const Function& loss) {
  const auto matrices = [&](Matrix<double>& a, const Matrix<double>& b, std::size_t stride) {
    if (b.size() > 0) agree(a.data(), b.data(), stride, loss);
  };
  agree(w.input_norm, g.input_norm, 7, loss);
  agree(w.ffn_norm, g.ffn_norm, 7, loss);
  matrices(w.mla.q_a, g.mla.q_a, 127);
  if (!g.mla.q_norm.empty()) agree(w.mla.q_norm, g.mla.q_norm, 5, loss);
  matrices(w.mla.q_b, g.mla.q_b, 193);
  matrices(w.mla.kv_a, g.mla.kv_a, 101);
  agree(w.mla.kv_norm, g.mla.kv_norm, 3, loss);
  matrices(w.mla.kv_b, g.mla.kv_b, 131);
  matrices(w.mla.o, g.mla.o, 149);
  matrices(w.dense.gate_up, g.dense.gate_up, 499);
  matrices(w.dense.down, g.dense.down, 251);
  matrices(w.router, g.router, 37);
  for (std::size_t e = 0; e < g.experts.size(); ++e) {
    matrices(w.experts[e].gate_up, g.experts[e].gate_up, 211);
    matrices(w.experts[e].down, g.experts[e].down, 127);
  }
  for (std::size_t e = 0; e < g.shared.size(); ++e) {
    matrices(w.shared[e].gate_up, g.shared[e].gate_up, 211);
    matrices(w.shared[e].down, g.shared[e].down, 127);
  }
}

}  // namespace

TEST_CASE("backward: every weight of the whole toy model has its true gradient") {
  for (const long q_rank : {20L, 0L}) {
    Model<double> model(toy(40, q_rank), 6);
    const Job j = job(7);
    const auto g = model_backward(model, j.tokens, j.targets);
    CHECK(g.loss == doctest::Approx(loss_of(model, j)).epsilon(1e-13));
    const auto loss = [&] { return loss_of(model, j); };
    ModelWeights<double>& w = model.weights();
    agree(w.embedding.data(), g.w.embedding.data(), 13, loss);
    for (std::size_t i = 0; i < w.layers.size(); ++i) agree_layer(w.layers[i], g.w.layers[i], loss);
    agree(w.final_norm, g.w.final_norm, 3, loss);
    agree(w.head.data(), g.w.head.data(), 29, loss);
  }
}

TEST_CASE("backward: along a random direction in all weights at once the loss changes as told") {
  // One number that no weight can hide from: Σ g · v over every weight against the slope of the
  // loss along v.
  Model<double> model(toy(), 8);
  const Job j = job(9);
  const auto g = model_backward(model, j.tokens, j.targets);
  std::mt19937 engine(3);
  std::normal_distribution<double> normal;
  double expected = 0;
  std::vector<std::pair<double*, double>> moves;
  const auto move = [&](std::vector<double>& w, const std::vector<double>& slope) {
    for (std::size_t i = 0; i < slope.size(); ++i) {
      moves.emplace_back(&w[i], normal(engine));
      expected += slope[i] * moves.back().second;
    }
  };
  ModelWeights<double>& w = model.weights();
  move(w.embedding.data(), g.w.embedding.data());
  move(w.head.data(), g.w.head.data());
  move(w.final_norm, g.w.final_norm);
  for (std::size_t i = 0; i < w.layers.size(); ++i) {
    LayerWeights<double>& a = w.layers[i];
    const LayerWeights<double>& b = g.w.layers[i];
    move(a.input_norm, b.input_norm);
    move(a.ffn_norm, b.ffn_norm);
    move(a.mla.q_a.data(), b.mla.q_a.data());
    move(a.mla.q_norm, b.mla.q_norm);
    move(a.mla.q_b.data(), b.mla.q_b.data());
    move(a.mla.kv_a.data(), b.mla.kv_a.data());
    move(a.mla.kv_norm, b.mla.kv_norm);
    move(a.mla.kv_b.data(), b.mla.kv_b.data());
    move(a.mla.o.data(), b.mla.o.data());
    move(a.dense.gate_up.data(), b.dense.gate_up.data());
    move(a.dense.down.data(), b.dense.down.data());
    move(a.router.data(), b.router.data());
    for (std::size_t e = 0; e < b.experts.size(); ++e) {
      move(a.experts[e].gate_up.data(), b.experts[e].gate_up.data());
      move(a.experts[e].down.data(), b.experts[e].down.data());
    }
    for (std::size_t e = 0; e < b.shared.size(); ++e) {
      move(a.shared[e].gate_up.data(), b.shared[e].gate_up.data());
      move(a.shared[e].down.data(), b.shared[e].down.data());
    }
  }
  CHECK(moves.size() > 20'000);
  const double h = 1e-7;
  const auto shifted = [&](double by) {
    for (const auto& [at, v] : moves) *at += by * v;
    const double value = loss_of(model, j);
    for (const auto& [at, v] : moves) *at -= by * v;
    return value;
  };
  const double slope = (shifted(h) - shifted(-h)) / (2 * h);
  CHECK(slope == doctest::Approx(expected).epsilon(1e-6));
  CHECK(std::abs(expected) > 0.1);
}

TEST_CASE("counting: a whole training step is three forwards and attention's scores once more") {
  const Model<double> model(toy(), 2);
  const Job j = job(8);
  Meter forward, backward;
  Cache<double> cache;
  (void)model.logits(model.hidden(j.tokens, cache, MlaMode::expanded, &forward), &forward);
  (void)model_backward(model, j.tokens, j.targets, &backward);
  const double scores = 3 * (8 * 9 / 2.0) * 4 * 12;  // layers, pairs, heads, width
  CHECK(backward.multiply_adds == 2 * forward.multiply_adds + scores);
}

TEST_CASE("backward: training the whole toy model on one text drives its loss down") {
  Model<double> model(toy(), 4);
  const Job j = job(10);
  const double before = loss_of(model, j);
  for (int step = 0; step < 20; ++step) {
    const auto g = model_backward(model, j.tokens, j.targets);
    ModelWeights<double>& w = model.weights();
    const auto update = [](std::vector<double>& a, const std::vector<double>& b) {
      for (std::size_t i = 0; i < b.size(); ++i) a[i] -= 0.2 * b[i];
    };
    update(w.embedding.data(), g.w.embedding.data());
    update(w.head.data(), g.w.head.data());
    for (std::size_t i = 0; i < w.layers.size(); ++i) {
      update(w.layers[i].mla.o.data(), g.w.layers[i].mla.o.data());
      update(w.layers[i].mla.kv_b.data(), g.w.layers[i].mla.kv_b.data());
      update(w.layers[i].dense.down.data(), g.w.layers[i].dense.down.data());
    }
  }
  CHECK(loss_of(model, j) < 0.2 * before);
}
