#include "jevons/host/host_model.hpp"

#include "jevons/core/error.hpp"

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

/// Scores are scalar products that are searched for the largest, put through an exponential and
/// divided by their sum; values are weighted rows.
HostWork attention_loops(double pairs, double score_width, double value_width, double results) {
  HostWork w;
  w.calls = 1;
  w.dots.push_back({2 * pairs * score_width, score_width});
  w.axpys.push_back({2 * pairs * value_width, value_width});
  w.exps = pairs;
  w.elements = 2 * pairs;
  w.results.push_back(kFloat * results);
  return w;
}

HostWork work(const workloads::AttentionCore& s, const workloads::Operator& op) {
  const double widths = s.qk_dim + s.v_dim;
  const double flops = work_of(op).flops;
  if (s.phase == workloads::AttentionPhase::backward) {
    // Scores again and dP are scalar products; dV, dQ and dK weighted rows.
    const double pairs = flops / (2 * (3 * s.qk_dim + 2 * s.v_dim));
    HostWork w = attention_loops(pairs, widths, 2 * s.qk_dim + s.v_dim,
                                 s.batch * s.q_len * s.heads * s.qk_dim);
    w.results.push_back(kFloat * s.batch * s.kv_len * s.kv_heads * widths);
    return w;
  }
  return attention_loops(flops / (2 * widths), s.qk_dim, s.v_dim,
                         s.batch * s.q_len * s.heads * s.v_dim);
}

HostWork work(const workloads::MlaDecode& s, const workloads::Operator& op) {
  const double width = s.kv_lora_rank + s.rope_dim;
  return attention_loops(work_of(op).flops / (2 * (width + s.kv_lora_rank)), width, s.kv_lora_rank,
                         s.batch * s.q_len * s.heads * s.kv_lora_rank);
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
