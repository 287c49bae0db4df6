#include "routing_load.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace jevons::sim {
namespace {

using workloads::MoeExperts;
using workloads::Routing;

double local_experts(const MoeExperts& s) {
  return (s.experts + s.redundant) / static_cast<double>(s.ep);
}

RankLoad balanced(const MoeExperts& s) {
  RankLoad load;
  const double g = local_experts(s);
  const double stride = std::ceil(s.experts / s.top_k);
  const double copies = s.tokens * s.top_k;
  load.even = true;
  if (s.tokens < stride) {
    // Copies sit at even distances over all experts; the first rank holds experts 0..g-1.
    load.rows = std::min(copies, std::ceil(g * copies / s.experts));
    load.active = std::min(load.rows, g);
  } else {
    load.rows = copies / static_cast<double>(s.ep);
    load.active = std::min(g, load.rows);
  }
  return load;
}

/// Moments of one expert's popularity: density x^-a on [lo, hi].
struct Popularity {
  double lo, hi, c, z, mean, deviation, skew;
};

Popularity popularity(double a, double lo, double hi) {
  Popularity p{lo, hi, 1 - a, 0, 0, 0, 0};
  const auto moment = [&](double q) {
    const double e = q + p.c;
    return std::abs(e) < 1e-9 ? std::log(hi / lo) : (std::pow(hi, e) - std::pow(lo, e)) / e;
  };
  p.z = moment(0);
  const double m1 = moment(1) / p.z;
  const double m2 = moment(2) / p.z;
  const double m3 = moment(3) / p.z;
  p.mean = m1;
  p.deviation = std::sqrt(std::max(0.0, m2 - m1 * m1));
  p.skew = (m3 - 3 * m1 * m2 + 2 * m1 * m1 * m1) / std::pow(p.deviation, 3);
  return p;
}

RankLoad power_law(const MoeExperts& s) {
  const double copies = s.tokens * s.top_k;
  const double g = local_experts(s);
  const auto ep = static_cast<double>(s.ep);
  // At few tokens 0.8 T falls to the lower end of the range: the draws are then all alike.
  const bool many = copies > s.experts && 0.8 * s.tokens > 1.0;
  const Popularity p = popularity(s.power_law, many ? 1.0 : 0.01, many ? 0.8 * s.tokens : 2.0);
  double ratio = 1;
  if (s.ep > 1) {
    const double z = normal_quantile((ep - 0.375) / (ep + 0.25));
    ratio = std::min(p.hi / p.mean, 1 + p.deviation / (p.mean * std::sqrt(g)) *
                                            (z + (z * z - 1) * p.skew / (6 * std::sqrt(g))));
  }
  if (s.load_max_over_mean > 0) ratio = s.load_max_over_mean;
  RankLoad load;
  load.rows = std::max(1.0, std::min(ratio * copies / ep, s.tokens * std::min(s.top_k, g)));
  load.max_over_mean = load.rows * ep / copies;
  const auto integral = [&](double q, double x) {
    const double e = q + p.c;
    return std::abs(e) < 1e-9 ? std::log(x / p.lo) : (std::pow(x, e) - std::pow(p.lo, e)) / e;
  };
  // Experts whose expected count is below one half get nothing; half of their rows are lost.
  const double x0 = std::clamp(s.experts * p.mean / (2 * copies), p.lo, p.hi);
  const double below = integral(0, x0) / p.z;
  const double lost = integral(1, x0) / (p.z * p.mean);
  load.active = std::min({g, load.rows, std::max(1.0, g * (1 - below) + load.rows * lost / 2)});
  return load;
}

/// Tokens draw their experts independently with equal chances; or a measured imbalance: then the
/// rank's experts are as much more popular. The fullest of ep ranks holds about
/// mu + z sqrt(mu (1 - 1/ep)) copies (normal form of the largest of ep binomial counts).
RankLoad independent(const MoeExperts& s) {
  RankLoad load;
  const double g = local_experts(s);
  const double copies = s.tokens * s.top_k;
  const auto ep = static_cast<double>(s.ep);
  const double mean = copies / ep;
  double ratio = s.load_max_over_mean;
  if (ratio <= 0) {
    const double z = s.ep > 1 ? normal_quantile((ep - 0.375) / (ep + 0.25)) : 0;
    ratio = mean > 0 ? 1 + z * std::sqrt((1 - 1 / ep) / mean) : 1;
  }
  load.rows =
      std::max(std::min(1.0, copies), std::min(ratio * mean, s.tokens * std::min(s.top_k, g)));
  load.max_over_mean = copies > 0 ? load.rows / mean : 1;
  const double miss = std::max(0.0, 1 - load.max_over_mean * s.top_k / (s.experts + s.redundant));
  load.active = std::min(load.rows, g * (1 - std::pow(miss, s.tokens)));
  return load;
}

}  // namespace

double RankLoad::tiles(double bm) const {
  if (even) return active * std::ceil(rows / std::max(active, 1e-9) / bm - 1e-9);
  return std::max(active, rows / bm + active / 2);
}

RankLoad rank_load(const MoeExperts& s) {
  if (s.routing == Routing::power_law) return power_law(s);
  if (s.routing == Routing::uniform || s.load_max_over_mean > 0) return independent(s);
  return balanced(s);
}

double normal_quantile(double p) {
  constexpr std::array<double, 6> kA{-3.969683028665376e+01, 2.209460984245205e+02,
                                     -2.759285104469687e+02, 1.383577518672690e+02,
                                     -3.066479806614716e+01, 2.506628277459239e+00};
  constexpr std::array<double, 5> kB{-5.447609879822406e+01, 1.615858368580409e+02,
                                     -1.556989798598866e+02, 6.680131188771972e+01,
                                     -1.328068155288572e+01};
  constexpr std::array<double, 6> kC{-7.784894002430293e-03, -3.223964580411365e-01,
                                     -2.400758277161838e+00, -2.549732539343734e+00,
                                     4.374664141464968e+00,  2.938163982698783e+00};
  constexpr std::array<double, 4> kD{7.784695709041462e-03, 3.224671290700398e-01,
                                     2.445134137142996e+00, 3.754408661907416e+00};
  if (p > 0.97575) return -normal_quantile(1 - p);
  if (p < 0.02425) {
    const double q = std::sqrt(-2 * std::log(p));
    return (((((kC[0] * q + kC[1]) * q + kC[2]) * q + kC[3]) * q + kC[4]) * q + kC[5]) /
           ((((kD[0] * q + kD[1]) * q + kD[2]) * q + kD[3]) * q + 1);
  }
  const double q = p - 0.5;
  const double r = q * q;
  return (((((kA[0] * r + kA[1]) * r + kA[2]) * r + kA[3]) * r + kA[4]) * r + kA[5]) * q /
         (((((kB[0] * r + kB[1]) * r + kB[2]) * r + kB[3]) * r + kB[4]) * r + 1);
}

double busiest_experts_hit(double mean, double local, double ranks) {
  if (ranks <= 1 || !(local > 0)) return mean;
  const double greatest = normal_quantile((ranks - 0.375) / (ranks + 0.25));
  const double spread = std::sqrt(std::max(0.0, mean * (1 - mean / local)));
  return std::min(local, mean + greatest * spread);
}

}  // namespace jevons::sim
