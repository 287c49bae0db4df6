#include "jevons/host/host_model.hpp"

#include "jevons/core/error.hpp"
#include "jevons/reference/attention.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

namespace jevons::host {
namespace {

constexpr std::size_t kTerms = 4;
using Terms = std::array<double, kTerms>;
/// Footprint up to which a product's operands count as near: a second-level cache's share.
constexpr double kNear = 262144;
constexpr double kFloat = 4;  // bytes: the reference kernels compute in single precision

Terms terms_of(double m, double n, double k) {
  return {1.0, 2 * m * n * k, m * k + k * n, m * n};
}

/// Solves the normal equations by elimination over the terms in use; an unused term stays zero.
Terms solve(const std::array<Terms, kTerms>& normal, const Terms& right,
            const std::array<bool, kTerms>& used) {
  auto a = normal;
  Terms b = right, x{};
  for (std::size_t i = 0; i < kTerms; ++i) {
    if (used[i]) continue;
    for (std::size_t j = 0; j < kTerms; ++j) a[i][j] = a[j][i] = 0;
    a[i][i] = 1;
    b[i] = 0;
  }
  for (std::size_t i = 0; i < kTerms; ++i) {
    for (std::size_t r = i + 1; r < kTerms; ++r) {
      const double factor = a[r][i] / a[i][i];
      for (std::size_t c = i; c < kTerms; ++c) a[r][c] -= factor * a[i][c];
      b[r] -= factor * b[i];
    }
  }
  for (std::size_t i = kTerms; i-- > 0;) {
    double sum = b[i];
    for (std::size_t c = i + 1; c < kTerms; ++c) sum -= a[i][c] * x[c];
    x[i] = sum / a[i][i];
  }
  return x;
}

/// Least squares of relative errors; a coefficient that would be negative is left out.
Terms fit(const std::vector<hwmodels::GemmSample>& samples) {
  std::array<Terms, kTerms> normal{};
  Terms right{};
  // Scaled so that the equations are well conditioned whatever the units.
  const Terms scale = {1e-6, 1e-11, 1e-10, 1e-10};
  for (const hwmodels::GemmSample& s : samples) {
    if (s.m < 2) continue;
    Terms t =
        terms_of(static_cast<double>(s.m), static_cast<double>(s.n), static_cast<double>(s.k));
    const double seconds = t[1] / s.flops_per_s.value;
    for (std::size_t i = 0; i < kTerms; ++i) t[i] *= scale[i] / seconds;
    for (std::size_t i = 0; i < kTerms; ++i) {
      right[i] += t[i];
      for (std::size_t j = 0; j < kTerms; ++j) normal[i][j] += t[i] * t[j];
    }
  }
  std::array<bool, kTerms> used = {true, true, true, true};
  for (;;) {
    Terms x = solve(normal, right, used);
    const auto worst = std::min_element(x.begin(), x.end());
    if (*worst >= 0) {
      for (std::size_t i = 0; i < kTerms; ++i) x[i] *= scale[i];
      return x;
    }
    used[static_cast<std::size_t>(worst - x.begin())] = false;
  }
}

double elements_of(double bytes, NumberFormat format) {
  return bytes / activation_bytes(format);
}

HostWork work(const workloads::Gemm& s, const workloads::Operator&) {
  HostWork w;
  w.products.push_back({s.m, s.n, s.k, s.groups});
  return w;
}

/// One softmax attention as the reference runs it: `rows` queries that share `keys` keys, `heads`
/// times. `seen` pairs of query and key are not masked.
struct Softmax {
  double heads = 1, rows = 1, keys = 1, seen = 1, score_width = 1, value_width = 1;
};

/// Two products over all pairs, masked or not; scores are scaled, searched for the largest, put
/// through an exponential (that of minus infinity takes as long) and divided by their sum.
HostWork by_products(const Softmax& s) {
  const double scores = s.rows * s.keys;
  HostWork w;
  w.calls = 3 * s.heads;
  w.products.push_back({s.rows, s.keys, s.score_width, s.heads});
  w.products.push_back({s.rows, s.value_width, s.keys, s.heads});
  w.exps = s.heads * scores;
  w.elements = 3 * s.heads * scores;
  w.results.push_back(kFloat * s.heads * s.rows * s.value_width);
  return w;
}

/// The same by loops over seen pairs: a scalar product each, values are weighted rows.
HostWork by_loops(const Softmax& s) {
  const double pairs = s.heads * s.seen;
  HostWork w;
  w.calls = 1;
  w.dots.push_back({2 * pairs * s.score_width, s.score_width});
  w.axpys.push_back({2 * pairs * s.value_width, s.value_width});
  w.exps = pairs;
  w.elements = 2 * pairs;
  w.results.push_back(kFloat * s.heads * s.rows * s.value_width);
  return w;
}

HostWork work(const workloads::AttentionCore& s, const workloads::Operator& op) {
  const double heads = s.batch * s.heads, flops = work_of(op).flops;
  Softmax softmax{heads, s.q_len, s.kv_len, 0, s.qk_dim, s.v_dim};
  if (s.phase == workloads::AttentionPhase::backward) {
    // Scores again and dP are scalar products; dV, dQ and dK weighted rows.
    softmax.seen = flops / (2 * heads * (3 * s.qk_dim + 2 * s.v_dim));
    HostWork w = by_loops(softmax);
    const double pairs = heads * softmax.seen;
    w.dots.push_back({2 * pairs * s.v_dim, s.v_dim});
    w.axpys.push_back({4 * pairs * s.qk_dim, s.qk_dim});
    w.results.push_back(kFloat * s.batch * s.kv_len * s.kv_heads * (s.qk_dim + s.v_dim));
    return w;
  }
  softmax.seen = flops / (2 * heads * (s.qk_dim + s.v_dim));
  if (s.q_len * s.kv_len < reference::kWorthProducts) return by_loops(softmax);
  HostWork w = by_products(softmax);
  // Each head's queries, and each group's keys and values, are cut out first.
  w.copies = s.q_len * heads * s.qk_dim + s.kv_len * s.batch * s.kv_heads * (s.qk_dim + s.v_dim);
  return w;
}

HostWork work(const workloads::MlaDecode& s, const workloads::Operator& op) {
  const double width = s.kv_lora_rank + s.rope_dim;
  const double seen = work_of(op).flops / (2 * s.batch * s.heads * (width + s.kv_lora_rank));
  if (s.sparse || s.q_len * s.heads * s.kv_len < reference::kWorthProducts) {
    return by_loops({s.batch * s.heads, s.q_len, s.kv_len, seen, width, s.kv_lora_rank});
  }
  // All heads share the cache: the queries of all of them are the rows.
  HostWork w =
      by_products({s.batch, s.q_len * s.heads, s.kv_len, seen * s.heads, width, s.kv_lora_rank});
  w.copies = s.batch * s.kv_len * s.kv_lora_rank;
  return w;
}

HostWork work(const workloads::Copy& s, const workloads::Operator&) {
  HostWork w;
  w.calls = 1;
  w.copies = s.bytes / kFloat;
  w.results.push_back(s.bytes);
  return w;
}

HostWork work(const workloads::Elementwise& s, const workloads::Operator& op) {
  const double read = elements_of(s.bytes_read, op.activation_format);
  const double written = elements_of(s.bytes_written, op.activation_format);
  HostWork w;
  w.calls = s.launches;
  w.results.push_back(kFloat * written);
  if (op.module == workloads::Module::norm) {
    w.dots.push_back({2 * read, 1024});  // rows as wide as a model
    w.elements = written;
  } else if (op.module == workloads::Module::mlp || op.module == workloads::Module::moe_act) {
    w.exps = written;
    w.elements = written;
  } else if (op.module == workloads::Module::router) {
    w.copies = std::max(read, written);
  } else {
    w.copies = written;
  }
  w.matrix_flops = s.flops;
  return w;
}

HostWork work(const workloads::Scan& s, const workloads::Operator&) {
  HostWork w;
  w.calls = 1;
  w.axpys.push_back({s.flops, 128});
  return w;
}

HostWork work(const workloads::MoeExperts& s, const workloads::Operator&) {
  const double hit = experts_hit(s);
  const double rows = expert_rows(s);
  const double width = s.intermediate * (s.gated ? 2 : 1);
  HostWork w;
  const auto add = [&](double each, double experts) {
    if (experts <= 0) return;
    w.products.push_back({each, width, s.hidden, experts});
    w.products.push_back({each, s.hidden, s.intermediate, experts});
  };
  // Few tokens: experts with one row stream their matrices, the others pack them.
  const double share = s.top_k / s.experts;
  const double lone =
      rows / hit < 4 && s.tokens > 1 && s.ep == 1
          ? std::min(hit, s.experts * s.tokens * share * std::pow(1 - share, s.tokens - 1))
          : 0;
  add(1, lone);
  add((rows - lone) / (hit - lone), hit - lone);
  return w;
}

template <class Shape>
HostWork work(const Shape&, const workloads::Operator& op) {
  throw bad_input(op.name, "a host does not run collectives");
}

}  // namespace

HostWork& HostWork::operator+=(const HostWork& other) {
  calls += other.calls;
  exps += other.exps;
  turns += other.turns;
  elements += other.elements;
  choices += other.choices;
  copies += other.copies;
  matrix_flops += other.matrix_flops;
  dots.insert(dots.end(), other.dots.begin(), other.dots.end());
  axpys.insert(axpys.end(), other.axpys.begin(), other.axpys.end());
  products.insert(products.end(), other.products.begin(), other.products.end());
  results.insert(results.end(), other.results.begin(), other.results.end());
  return *this;
}

HostWork host_work(const workloads::Operator& op) {
  return std::visit([&](const auto& shape) { return work(shape, op); }, op.shape);
}

HostWork host_work(const workloads::OperatorGraph& graph) {
  HostWork sum;
  for (const workloads::Operator& op : graph.operators) sum += host_work(op);
  return sum;
}

HostModel::HostModel(hwmodels::HostCalibration calibration) : calibration_(std::move(calibration)) {
  const Terms t = fit(calibration_.gemm);
  start_ = t[0];
  per_flop_ = t[1];
  per_packed_ = t[2];
  per_result_ = t[3];
}

double HostModel::rate(std::string_view name) const {
  return calibration_.rates.find(name)->second.value;
}

double HostModel::product_seconds(const Product& p, double working_set) const {
  const double matrix = kFloat * p.k * p.n;
  double t = 0;
  if (p.m <= 1) {
    t = rate("call_s") + matrix / calibration_.gemv.at(matrix);
  } else {
    const Terms terms = terms_of(p.m, p.n, p.k);
    t = start_ + per_flop_ * terms[1] + per_packed_ * terms[2] + per_result_ * terms[3];
  }
  const double own = kFloat * (p.k * p.n + p.m * p.k);
  // A large matrix comes from further away than the fitted products' operands did; the
  // matrix-vector curve has its own footprint in it already.
  const double near = p.m <= 1 ? std::max(own, kNear) : kNear;
  const hwmodels::FootprintCurve& cold = calibration_.cold;
  t += std::max(0.0, own * (1 / cold.at(std::max(working_set, own)) - 1 / cold.at(near)));
  return p.count * t;
}

double HostModel::seconds(const HostWork& w, double working_set) const {
  double t = w.calls * rate("call_s") + w.exps / rate("exp_per_s") +
             w.turns / rate("sincos_per_s") + w.elements / rate("element_per_s") +
             w.choices / rate("choice_per_s") + w.copies / rate("copy_per_s") +
             w.matrix_flops * per_flop_;
  for (const Rows& r : w.dots) t += r.flops / calibration_.dot.at(kFloat * r.length);
  for (const Rows& r : w.axpys) t += r.flops / calibration_.axpy.at(kFloat * r.length);
  for (const Product& p : w.products) t += product_seconds(p, working_set);
  for (const double bytes : w.results) t += bytes / calibration_.fresh.at(bytes);
  return t;
}

}  // namespace jevons::host
