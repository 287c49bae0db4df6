#include "jevons/sim/requests.hpp"

#include "routing_load.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>
#include <cmath>

namespace jevons::sim {

Pcg32::Pcg32(std::uint64_t seed, std::uint64_t stream) : increment_((stream << 1U) | 1U) {
  (void)next();
  state_ += seed;
  (void)next();
}

std::uint32_t Pcg32::next() {
  const std::uint64_t old = state_;
  state_ = old * 6364136223846793005ULL + increment_;
  const auto shifted = static_cast<std::uint32_t>(((old >> 18U) ^ old) >> 27U);
  const auto turn = static_cast<std::uint32_t>(old >> 59U);
  return (shifted >> turn) | (shifted << ((32U - turn) & 31U));
}

double Pcg32::uniform() {
  return (next() + 0.5) / 4294967296.0;
}

double Pcg32::exponential() {
  return -std::log(uniform());
}

double Pcg32::normal() {
  return normal_quantile(uniform());
}

double Pcg32::gamma(double shape) {
  if (shape < 1) return gamma(shape + 1) * std::pow(uniform(), 1 / shape);
  const double d = shape - 1.0 / 3.0, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = normal(), cube = 1 + c * x;
    if (cube <= 0) continue;
    const double v = cube * cube * cube;
    if (std::log(uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

double draw_length(const Length& length, Pcg32& random) {
  double value = length.mean;
  switch (length.kind) {
    case Length::Kind::fixed: break;
    case Length::Kind::uniform:
      value = length.low + (length.high - length.low) * random.uniform();
      break;
    case Length::Kind::lognormal: {
      const double mu = std::log(length.mean) - length.sigma * length.sigma / 2;
      value = std::exp(mu + length.sigma * random.normal());
      break;
    }
    case Length::Kind::empirical: {
      if (length.samples.empty()) break;
      const double at = random.uniform() * static_cast<double>(length.samples.size());
      value = length.samples[std::min(static_cast<std::size_t>(at), length.samples.size() - 1)];
      break;
    }
  }
  return std::max(1.0, std::round(value));
}

std::vector<Request> draw_requests(const ServeSpec& spec, std::size_t count, std::uint64_t seed) {
  if (static_cast<double>(count) > kMostRequests) {
    throw bad_input("/serve/traffic", "more requests than can be played one by one",
                    "at most 1e8 for each engine; closed forms (--analytic) take any number");
  }
  // One stream a purpose: adding arrivals does not change the lengths.
  Pcg32 inputs(seed, 1), outputs(seed, 2), arrivals(seed, 3);
  const Traffic& traffic = spec.traffic;
  const double rate = traffic.requests_per_s / spec.instances;
  // Below a thousandth the variation is not told from an even beat.
  const bool even = traffic.cv < 1e-3;
  const double shape = even ? 1.0 : 1 / (traffic.cv * traffic.cv);
  double now = 0;
  std::vector<Request> requests(count);
  for (Request& r : requests) {
    r.input = draw_length(spec.input_tokens, inputs);
    r.output = draw_length(spec.output_tokens, outputs);
    r.cached = std::min(r.input - 1, std::round(r.input * spec.prefix_hit_rate));
    if (traffic.kind == Traffic::Kind::poisson) now += arrivals.exponential() / rate;
    if (traffic.kind == Traffic::Kind::gamma) {
      now += (even ? 1.0 : arrivals.gamma(shape) / shape) / rate;
    }
    r.arrival_s = now;
  }
  return requests;
}

}  // namespace jevons::sim
