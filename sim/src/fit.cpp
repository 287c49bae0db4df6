#include "jevons/sim/fit.hpp"

#include "fit_bench.hpp"

#include "jevons/core/error.hpp"

#include <Eigen/Dense>

#include <algorithm>
#include <cmath>

namespace jevons::sim {
namespace {

constexpr double kStep = 2e-3;   // of a logarithm, for the derivatives
constexpr double kMoves = 1e-7;  // a residual that changes by more depends on the constant
constexpr double kConverged = 1e-5;

class Problem {
 public:
  Problem(std::span<const FitSample> samples, std::span<const FitConstant> constants,
          const FitOptions& options)
      : bench_(samples), options_(options), size_(samples.size()) {
    for (const FitConstant& c : constants) {
      if (!(c.initial > 0) || !(c.low > 0) || !(c.high >= c.low)) {
        throw bad_input("constant " + c.name,
                        "cannot be fitted: its value or bounds are not positive");
      }
      state_.push_back(
          {c.name, c.scope, c.initial, std::clamp(c.initial, c.low, c.high), 0, false});
      low_.push_back(c.low);
      high_.push_back(c.high);
    }
  }

  [[nodiscard]] std::vector<double> residuals(const std::vector<FittedConstant>& state) const {
    std::vector<double> r(size_);
    for (const FitBench::Group& group : bench_.groups()) bench_.residuals(group, state, r);
    return r;
  }

  [[nodiscard]] double cost(const std::vector<double>& r,
                            const std::vector<FittedConstant>& state) const {
    double sum = 0;
    const double c = options_.outlier;
    for (const double x : r) sum += c * c * (std::sqrt(1 + x * x / (c * c)) - 1);
    for (const FittedConstant& s : state) {
      const double change = std::log(s.after / s.before) / options_.prior;
      sum += 0.5 * c * c * change * change;
    }
    return sum;
  }

  /// d residual / d log constant, one column a constant.
  [[nodiscard]] Eigen::MatrixXd jacobian(const std::vector<double>& r) {
    Eigen::MatrixXd j = Eigen::MatrixXd::Zero(static_cast<Eigen::Index>(size_), columns());
    const bool known = !still_.empty();
    if (!known) still_.assign(state_.size(), false);
    for (std::size_t k = 0; k < state_.size(); ++k) {
      if (still_[k]) continue;
      std::vector<FittedConstant> moved = state_;
      const double step = state_[k].after * std::exp(kStep) > high_[k] ? -kStep : kStep;
      moved[k].after *= std::exp(step);
      std::vector<double> shifted = r;
      for (const FitBench::Group& group : bench_.groups()) {
        if (FitBench::in_scope(group, moved[k].name, moved[k].scope))
          bench_.residuals(group, moved, shifted);
      }
      state_[k].rows = 0;
      for (std::size_t i = 0; i < size_; ++i) {
        const double change = shifted[i] - r[i];
        if (std::abs(change) > kMoves) ++state_[k].rows;
        j(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(k)) = change / step;
      }
      // What no row depends on at the start is not looked at again.
      if (!known) still_[k] = state_[k].rows == 0;
    }
    return j;
  }

  /// Normal equations of the weighted problem with the prior.
  void normal(const Eigen::MatrixXd& j, const std::vector<double>& r, Eigen::MatrixXd& a,
              Eigen::VectorXd& g) const {
    const double c = options_.outlier;
    Eigen::VectorXd weight(static_cast<Eigen::Index>(size_));
    Eigen::VectorXd residual(static_cast<Eigen::Index>(size_));
    for (std::size_t i = 0; i < size_; ++i) {
      residual(static_cast<Eigen::Index>(i)) = r[i];
      weight(static_cast<Eigen::Index>(i)) = 1 / std::sqrt(1 + r[i] * r[i] / (c * c));
    }
    a = j.transpose() * weight.asDiagonal() * j;
    g = j.transpose() * weight.asDiagonal() * residual;
    const double prior = c * c / (options_.prior * options_.prior);
    for (std::size_t k = 0; k < state_.size(); ++k) {
      const auto at = static_cast<Eigen::Index>(k);
      a(at, at) += prior;
      g(at) += prior * std::log(state_[k].after / state_[k].before);
    }
  }

  [[nodiscard]] std::vector<FittedConstant> stepped(const Eigen::VectorXd& delta) const {
    std::vector<FittedConstant> next = state_;
    for (std::size_t k = 0; k < next.size(); ++k) {
      const double move = std::clamp(delta(static_cast<Eigen::Index>(k)), -0.5, 0.5);
      next[k].after = std::clamp(next[k].after * std::exp(-move), low_[k], high_[k]);
      next[k].at_bound = next[k].after <= low_[k] || next[k].after >= high_[k];
    }
    return next;
  }

  int solve() {
    std::vector<double> r = residuals(state_);
    double best = cost(r, state_);
    double lambda = 1e-2;
    int iteration = 0;
    for (; iteration < options_.most_iterations; ++iteration) {
      Eigen::MatrixXd a;
      Eigen::VectorXd g;
      normal(jacobian(r), r, a, g);
      bool better = false;
      double gain = 0;
      for (int attempt = 0; attempt < 6 && !better; ++attempt) {
        Eigen::MatrixXd damped = a;
        damped.diagonal() *= 1 + lambda;
        std::vector<FittedConstant> next = stepped(damped.ldlt().solve(g));
        std::vector<double> moved = residuals(next);
        const double value = cost(moved, next);
        better = value < best;
        if (better) {
          gain = (best - value) / best;
          best = value;
          r = std::move(moved);
          state_ = std::move(next);
          lambda = std::max(1e-6, lambda / 4);
        } else {
          lambda *= 6;
        }
      }
      if (!better || gain < kConverged) break;
    }
    return iteration;
  }

  [[nodiscard]] const std::vector<FittedConstant>& state() const { return state_; }
  [[nodiscard]] Eigen::Index columns() const { return static_cast<Eigen::Index>(state_.size()); }

 private:
  FitBench bench_;
  FitOptions options_;
  std::size_t size_;
  std::vector<FittedConstant> state_;
  std::vector<double> low_, high_;
  std::vector<bool> still_;
};

double median_error(const std::vector<double>& residuals) {
  std::vector<double> absolute;
  for (const double r : residuals) absolute.push_back(std::abs(std::exp(r) - 1));
  std::sort(absolute.begin(), absolute.end());
  const std::size_t n = absolute.size();
  return n % 2 == 1 ? absolute[n / 2] : 0.5 * (absolute[n / 2 - 1] + absolute[n / 2]);
}

}  // namespace

FitResult fit(std::span<const FitSample> samples, std::span<const FitConstant> constants,
              const FitOptions& options) {
  if (samples.empty()) throw bad_input("fit", "no measured operator to fit to");
  if (constants.empty()) throw bad_input("fit", "no constant to fit");
  Problem problem(samples, constants, options);
  FitResult result;
  result.median_before = median_error(problem.residuals(problem.state()));
  result.iterations = problem.solve();
  result.median_after = median_error(problem.residuals(problem.state()));
  result.constants = problem.state();
  return result;
}

std::vector<double> errors_with(std::span<const FitSample> samples,
                                std::span<const FittedConstant> constants) {
  const FitBench bench(samples);
  std::vector<double> r(samples.size());
  for (const FitBench::Group& group : bench.groups()) bench.residuals(group, constants, r);
  for (double& x : r) x = std::exp(x) - 1;
  return r;
}

std::vector<FitConstant> fittable_constants(std::span<const FitSample> samples,
                                            const std::string& accelerator,
                                            const std::string& prefix) {
  constexpr double kFactor = 4;
  const FitBench bench(samples);
  std::vector<FitConstant> list;
  for (const FitBench::Group& group : bench.groups()) {
    const hwmodels::Accelerator& chip = group.cluster.accelerator;
    if (chip.id != accelerator) continue;
    std::vector<double> base(samples.size());
    bench.residuals(group, {}, base);
    for (const auto& [name, constant] : chip.constants.all()) {
      if (!name.starts_with(prefix) || !(constant.value > 0)) continue;
      const bool listed = std::any_of(list.begin(), list.end(),
                                      [&](const FitConstant& c) { return c.name == name; });
      if (listed || name.find(".menu.") != std::string::npos ||
          name.find(".split_k.") != std::string::npos) {
        continue;
      }
      const FittedConstant probe{name, chip.id, constant.value, constant.value * 1.02, 0, false};
      std::vector<double> moved = base;
      bench.residuals(group, std::span(&probe, 1), moved);
      if (moved != base) {
        list.push_back({name, accelerator, constant.value, constant.value / kFactor,
                        constant.value * kFactor});
      }
    }
  }
  return list;
}

}  // namespace jevons::sim
