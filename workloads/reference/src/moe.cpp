#include "jevons/reference/moe.hpp"

#include "jevons/core/error.hpp"
#include "jevons/reference/elementwise.hpp"
#include "jevons/reference/gemm.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace jevons::reference {
namespace {

std::size_t at(long i) {
  return static_cast<std::size_t>(i);
}

/// Indices of the `count` largest values among `among`, best first, ties to the lower index.
template <class T>
std::vector<long> best(const std::vector<T>& values, std::vector<long> among, long count) {
  std::sort(among.begin(), among.end(), [&](long a, long b) {
    return values[at(a)] != values[at(b)] ? values[at(a)] > values[at(b)] : a < b;
  });
  among.resize(at(std::min(count, static_cast<long>(among.size()))));
  return among;
}

std::vector<long> iota(long first, long count) {
  std::vector<long> out(at(count));
  std::iota(out.begin(), out.end(), first);
  return out;
}

template <class T>
std::vector<T> scores_of(const Matrix<T>& logits, long token, bool sigmoid) {
  std::vector<T> scores(logits.row(token), logits.row(token) + logits.cols());
  if (sigmoid) {
    for (T& s : scores) s = T{1} / (T{1} + std::exp(-s));
    return scores;
  }
  const T top = *std::max_element(scores.begin(), scores.end());
  T sum{};
  for (T& s : scores) sum += s = std::exp(s - top);
  for (T& s : scores) s /= sum;
  return scores;
}

/// Experts of the groups a token may visit.
template <class T>
std::vector<long> allowed(const std::vector<T>& choice, const RouterShape& r) {
  if (r.group_limit >= r.groups) return iota(0, r.experts);
  const long size = r.experts / r.groups;
  std::vector<T> group_scores;
  for (long g = 0; g < r.groups; ++g) {
    T score{};
    for (const long e : best(choice, iota(g * size, size), r.sigmoid ? 2 : 1)) {
      score += choice[at(e)];
    }
    group_scores.push_back(score);
  }
  std::vector<long> out;
  for (const long g : best(group_scores, iota(0, r.groups), r.group_limit)) {
    for (long e = g * size; e < (g + 1) * size; ++e) out.push_back(e);
  }
  std::sort(out.begin(), out.end());
  return out;
}

/// Tokens of each expert with the slot of the token that named it.
struct Visit {
  long token;
  std::size_t slot;
};
template <class T>
std::vector<std::vector<Visit>> visits(const Routes<T>& routes, std::size_t experts) {
  std::vector<std::vector<Visit>> out(experts);
  for (std::size_t t = 0; t < routes.experts.size(); ++t) {
    for (std::size_t s = 0; s < routes.experts[t].size(); ++s) {
      out[at(routes.experts[t][s])].push_back({static_cast<long>(t), s});
    }
  }
  return out;
}

template <class T>
Matrix<T> gather(const Matrix<T>& x, const std::vector<Visit>& who, Meter* meter = nullptr) {
  Matrix<T> out(static_cast<long>(who.size()), x.cols());
  Operand read(meter, {}, x.size()), written(meter, {}, out.size());
  for (std::size_t i = 0; i < who.size(); ++i) {
    const auto row = static_cast<long>(i);
    std::copy_n(x.row(who[i].token), x.cols(), out.row(row));
    read.touch_range(x.index(who[i].token, 0), at(x.cols()));
    written.touch_range(out.index(row, 0), at(x.cols()));
  }
  return out;
}

}  // namespace

template <class T>
std::vector<double> Routes<T>::loads(long experts_total) const {
  std::vector<double> out(at(experts_total), 0.0);
  for (const auto& chosen : experts) {
    for (const long e : chosen) ++out[at(e)];
  }
  return out;
}

template <class T>
Routes<T> route(const Matrix<T>& logits, const std::vector<T>& bias, const RouterShape& r) {
  if (logits.cols() != r.experts || (!bias.empty() && bias.size() != at(r.experts))) {
    throw Error(ErrorKind::internal, "reference kernels", "route: sizes differ");
  }
  Routes<T> routes;
  for (long t = 0; t < logits.rows(); ++t) {
    const std::vector<T> scores = scores_of(logits, t, r.sigmoid);
    std::vector<T> choice = scores;
    for (std::size_t e = 0; e < bias.size(); ++e) choice[e] += bias[e];
    std::vector<long> chosen = best(choice, allowed(choice, r), r.top_k);
    std::vector<T> gates;
    T sum{};
    for (const long e : chosen) sum += scores[at(e)];
    for (const long e : chosen) {
      gates.push_back(scores[at(e)] / (r.normalise ? sum : T{1}) * static_cast<T>(r.scaling));
    }
    routes.experts.push_back(std::move(chosen));
    routes.gates.push_back(std::move(gates));
  }
  return routes;
}

template <class T>
void update_bias(std::vector<T>& bias, const std::vector<double>& loads, double speed) {
  const double mean =
      std::accumulate(loads.begin(), loads.end(), 0.0) / static_cast<double>(loads.size());
  for (std::size_t e = 0; e < bias.size(); ++e) {
    if (loads[e] < mean) bias[e] += static_cast<T>(speed);
    if (loads[e] > mean) bias[e] -= static_cast<T>(speed);
  }
}

template <class T>
Matrix<T> ffn(const Matrix<T>& x, const FfnWeights<T>& w, Meter* meter) {
  return gemm(swiglu(gemm(x, w.gate_up, meter), meter), w.down, meter);
}

template <class T>
Matrix<T> moe(const Matrix<T>& x, const Routes<T>& routes,
              const std::vector<FfnWeights<T>>& experts, const std::vector<FfnWeights<T>>& shared,
              Meter* meter) {
  Matrix<T> out(x.rows(), x.cols());
  const auto who = visits(routes, experts.size());
  Operand written(meter, {}, out.size());  // a token's copies are summed before they are written
  for (std::size_t e = 0; e < experts.size(); ++e) {
    if (who[e].empty()) continue;
    const Matrix<T> y = ffn(gather(x, who[e], meter), experts[e], meter);
    Operand read(meter, {}, y.size());
    read.touch_range(0, y.size());
    for (std::size_t i = 0; i < who[e].size(); ++i) {
      const auto [token, slot] = who[e][i];
      const T gate = routes.gates[at(token)][slot];
      for (long c = 0; c < x.cols(); ++c) out(token, c) += gate * y(static_cast<long>(i), c);
      written.touch_range(out.index(token, 0), at(x.cols()));
    }
  }
  for (const FfnWeights<T>& w : shared) add_to(out, ffn(x, w, meter), meter);
  return out;
}

template <class T>
FfnGradients<T> ffn_backward(const Matrix<T>& x, const FfnWeights<T>& w, const Matrix<T>& dout,
                             Meter* meter) {
  const Matrix<T> gate_up = gemm(x, w.gate_up);  // kept from the forward pass
  const Matrix<T> act = swiglu(gate_up);
  FfnGradients<T> g;
  g.w.down = gemm_at(act, dout, meter);
  const Matrix<T> dact = gemm_bt(dout, w.down, meter);
  const long m = act.cols();
  Matrix<T> dgate_up(x.rows(), 2 * m);
  for (long r = 0; r < x.rows(); ++r) {
    for (long c = 0; c < m; ++c) {
      const T gate = gate_up(r, c), up = gate_up(r, c + m);
      const T s = T{1} / (T{1} + std::exp(-gate));
      dgate_up(r, c) = dact(r, c) * up * s * (T{1} + gate * (T{1} - s));
      dgate_up(r, c + m) = dact(r, c) * gate * s;
    }
  }
  g.w.gate_up = gemm_at(x, dgate_up, meter);
  g.x = gemm_bt(dgate_up, w.gate_up, meter);
  return g;
}

template <class T>
MoeGradients<T> moe_backward(const Matrix<T>& x, const Routes<T>& routes,
                             const std::vector<FfnWeights<T>>& experts,
                             const std::vector<FfnWeights<T>>& shared, const Matrix<T>& dout,
                             Meter* meter) {
  MoeGradients<T> g;
  g.x = Matrix<T>(x.rows(), x.cols());
  g.experts.resize(experts.size());
  for (const auto& gates : routes.gates) g.gates.emplace_back(gates.size());
  const auto who = visits(routes, experts.size());
  for (std::size_t e = 0; e < experts.size(); ++e) {
    if (who[e].empty()) continue;
    const Matrix<T> input = gather(x, who[e]);
    const Matrix<T> y = ffn(input, experts[e]);  // kept from the forward pass
    Matrix<T> seed = gather(dout, who[e]);
    for (std::size_t i = 0; i < who[e].size(); ++i) {
      const auto [token, slot] = who[e][i];
      const auto row = static_cast<long>(i);
      T dot{};
      for (long c = 0; c < x.cols(); ++c) dot += seed(row, c) * y(row, c);
      g.gates[at(token)][slot] = dot;
      for (long c = 0; c < x.cols(); ++c) seed(row, c) *= routes.gates[at(token)][slot];
    }
    FfnGradients<T> one = ffn_backward(input, experts[e], seed, meter);
    g.experts[e] = std::move(one.w);
    for (std::size_t i = 0; i < who[e].size(); ++i) {
      for (long c = 0; c < x.cols(); ++c) {
        g.x(who[e][i].token, c) += one.x(static_cast<long>(i), c);
      }
    }
  }
  for (const FfnWeights<T>& w : shared) {
    FfnGradients<T> one = ffn_backward(x, w, dout, meter);
    g.shared.push_back(std::move(one.w));
    add_to(g.x, one.x);
  }
  return g;
}

template <class T>
Matrix<T> route_backward(const Matrix<T>& logits, const Routes<T>& routes,
                         const std::vector<std::vector<T>>& dgates, const RouterShape& r) {
  Matrix<T> dlogits(logits.rows(), logits.cols());
  for (long t = 0; t < logits.rows(); ++t) {
    const std::vector<T> scores = scores_of(logits, t, r.sigmoid);
    const auto& chosen = routes.experts[at(t)];
    T sum{}, mean{};
    for (const long e : chosen) sum += scores[at(e)];
    for (std::size_t s = 0; s < chosen.size(); ++s) {
      mean += dgates[at(t)][s] * scores[at(chosen[s])] / sum;
    }
    for (std::size_t s = 0; s < chosen.size(); ++s) {
      const T score = scores[at(chosen[s])];
      const T dscore = (dgates[at(t)][s] - mean) / sum * static_cast<T>(r.scaling);
      dlogits(t, chosen[s]) = dscore * score * (T{1} - score);
    }
  }
  return dlogits;
}

#define JEVONS_INSTANTIATE(T)                                                                     \
  template struct Routes<T>;                                                                      \
  template Routes<T> route(const Matrix<T>&, const std::vector<T>&, const RouterShape&);          \
  template void update_bias(std::vector<T>&, const std::vector<double>&, double);                 \
  template Matrix<T> ffn(const Matrix<T>&, const FfnWeights<T>&, Meter*);                         \
  template Matrix<T> moe(const Matrix<T>&, const Routes<T>&, const std::vector<FfnWeights<T>>&,   \
                         const std::vector<FfnWeights<T>>&, Meter*);                              \
  template FfnGradients<T> ffn_backward(const Matrix<T>&, const FfnWeights<T>&, const Matrix<T>&, \
                                        Meter*);                                                  \
  template MoeGradients<T> moe_backward(                                                          \
      const Matrix<T>&, const Routes<T>&, const std::vector<FfnWeights<T>>&,                      \
      const std::vector<FfnWeights<T>>&, const Matrix<T>&, Meter*);                               \
  template Matrix<T> route_backward(const Matrix<T>&, const Routes<T>&,                           \
                                    const std::vector<std::vector<T>>&, const RouterShape&);
JEVONS_INSTANTIATE(float)
JEVONS_INSTANTIATE(double)
#undef JEVONS_INSTANTIATE

}  // namespace jevons::reference
