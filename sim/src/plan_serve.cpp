#include "jevons/sim/plan_serve.hpp"

#include "jevons/core/error.hpp"
#include "jevons/sim/run.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <thread>

namespace jevons::sim {
namespace {

constexpr double kMaxConcurrency = 4096;  // per accelerator; beyond it no engine schedules

bool divides_heads(const workloads::ModelConfig& model, long tp) {
  return std::all_of(model.layers.begin(), model.layers.end(), [tp](const workloads::Layer& layer) {
    return layer.attention.heads == 0 || layer.attention.heads % tp == 0;
  });
}

long expert_count(const workloads::ModelConfig& model) {
  long experts = 0;
  for (const workloads::Layer& layer : model.layers) {
    if (layer.ffn.kind == workloads::FfnKind::moe) experts = std::max(experts, layer.ffn.experts);
  }
  return experts;
}

Scenario scenario_of(const PlanServeRequest& request, const ServePlan& plan) {
  Scenario s = request.base;
  s.parallelism = plan.parallelism;
  s.precision = plan.precision;
  s.cluster.count = plan.accelerators_per_instance;
  s.serve.mode = ServeMode::aggregated;
  s.serve.attention_dp = plan.attention_dp;
  s.serve.instances = 1;
  s.serve.prefill.reset();
  s.serve.decode.reset();
  s.serve.traffic = {};
  s.serve.traffic.kind = Traffic::Kind::closed;
  s.serve.traffic.concurrency = plan.concurrency;
  s.serve.traffic.requests = std::max(10 * plan.concurrency, 200.0);
  s.serve.max_batch_sequences = std::max(s.serve.max_batch_sequences, plan.concurrency);
  return s;
}

double number_or(const Metrics& metrics, std::string_view name, double fallback) {
  return metrics.number(name).value_or(fallback);
}

/// Why the plan misses the SLO, or empty.
std::string slo_miss(const ServeSpec& spec, const ServePlan& plan) {
  const auto miss = [](const char* what, double have, double limit) {
    return std::string(what) + " " + std::to_string(have * 1e3) + " ms exceeds " +
           std::to_string(limit * 1e3) + " ms";
  };
  if (spec.slo_tpot_s && plan.tpot_s > *spec.slo_tpot_s) {
    return miss("TPOT", plan.tpot_s, *spec.slo_tpot_s);
  }
  if (spec.slo_ttft_s && plan.ttft_s > *spec.slo_ttft_s) {
    return miss("TTFT", plan.ttft_s, *spec.slo_ttft_s);
  }
  return {};
}

void scale_to_demand(const PlanServeRequest& request, ServePlan& plan) {
  if (request.demand.requests_per_s) {
    plan.instances = std::ceil(*request.demand.requests_per_s / plan.requests_per_s);
  } else if (request.demand.users) {
    plan.instances = std::ceil(*request.demand.users / plan.concurrency);
  }
  plan.accelerators = static_cast<long>(plan.instances) * plan.accelerators_per_instance;
  if (request.max_accelerators > 0 && plan.accelerators > request.max_accelerators) {
    plan.within_budget = false;
    plan.why_not = "needs " + std::to_string(plan.accelerators) + " accelerators, " +
                   std::to_string(request.max_accelerators) + " allowed";
  }
}

void evaluate(const PlanServeRequest& request, ServePlan& plan) {
  Result result;
  try {
    result = run(scenario_of(request, plan), {.resolution = Resolution::analytic});
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::infeasible) throw;
    plan.why_not = error.message();
    return;
  }
  const Metrics& m = result.metrics;
  plan.fits = !result.infeasible && m.flag("fits").value_or(true);
  if (!plan.fits) {
    plan.why_not = result.infeasible ? result.infeasible->reason : "does not fit in memory";
    return;
  }
  plan.accelerators = plan.accelerators_per_instance;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  plan.ttft_s = number_or(m, "ttft_p50_s", number_or(m, "ttft_mean_s", nan));
  plan.tpot_s = number_or(m, "tpot_p50_s", number_or(m, "tpot_mean_s", nan));
  plan.tokens_per_s_per_user = number_or(m, "tokens_per_s_per_user", nan);
  plan.output_tokens_per_s_per_accelerator =
      number_or(m, "output_tokens_per_s_per_accelerator", nan);
  plan.requests_per_s = number_or(m, "requests_per_s", nan);
  plan.tokens_per_joule = number_or(m, "output_tokens_per_s_per_w", 0.0);
  plan.usd_per_mtok_output = m.number("usd_per_mtok_output");
  plan.why_not = slo_miss(request.base.serve, plan);
  plan.meets_slo = plan.why_not.empty();
  if (plan.meets_slo) scale_to_demand(request, plan);
}

/// Smaller is better; ties fall to the next key.
bool better(Objective objective, const ServePlan& a, const ServePlan& b) {
  const double infinity = std::numeric_limits<double>::infinity();
  const auto cost = [&](const ServePlan& p) { return p.usd_per_mtok_output.value_or(infinity); };
  const auto key = [&](const ServePlan& p) {
    switch (objective) {
      case Objective::usd_per_mtok: return cost(p);
      case Objective::tokens_per_joule: return -p.tokens_per_joule;
      case Objective::accelerators: return static_cast<double>(p.accelerators);
    }
    return infinity;
  };
  if (key(a) != key(b)) return key(a) < key(b);
  if (cost(a) != cost(b)) return cost(a) < cost(b);
  return a.tokens_per_s_per_user > b.tokens_per_s_per_user;
}

std::vector<ServePlan> candidates(const PlanServeRequest& request) {
  const long limit = request.max_accelerators_per_instance > 0
                         ? request.max_accelerators_per_instance
                         : request.base.cluster.count;
  std::vector<Precision> precisions = request.precisions;
  if (precisions.empty()) precisions.push_back(request.base.precision);
  std::vector<ServePlan> result;
  for (long chips = 1; chips <= limit; chips *= 2) {
    for (ServePlan layout :
         serve_layouts(request.base.model, request.base.cluster.scale_up_domain, chips)) {
      for (const Precision& precision : precisions) {
        layout.precision = precision;
        for (double users = 1; users <= kMaxConcurrency * static_cast<double>(chips); users *= 2) {
          layout.concurrency = users;
          // With attention data-parallel every rank wants at least one sequence.
          if (layout.attention_dp && users < static_cast<double>(chips)) continue;
          if (request.demand.users && users > 2 * *request.demand.users) break;
          result.push_back(layout);
        }
      }
    }
  }
  return result;
}

/// Runs fn(i) for every index on `threads` threads; the first exception is thrown again.
template <class Function>
void parallel_for(std::size_t count, unsigned threads, const Function& fn) {
  std::atomic<std::size_t> next{0};
  std::vector<std::exception_ptr> errors(count);
  {
    std::vector<std::jthread> pool;
    for (unsigned t = 0; t < threads; ++t) {
      pool.emplace_back([&] {
        for (std::size_t i = next++; i < count; i = next++) {
          try {
            fn(i);
          } catch (...) {
            errors[i] = std::current_exception();
          }
        }
      });
    }
  }
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

/// What stopped the plan that came nearest: the smallest excess over the SLO, else the budget, else
/// memory.
Infeasible nearest_miss(const PlanServeRequest& request, const std::vector<ServePlan>& plans) {
  const ServeSpec& spec = request.base.serve;
  const ServePlan* best = nullptr;
  double best_excess = std::numeric_limits<double>::infinity();
  for (const ServePlan& plan : plans) {
    if (!plan.fits) continue;
    double excess = plan.within_budget ? 0.0 : 0.5;
    if (spec.slo_tpot_s) excess += std::max(0.0, std::log(plan.tpot_s / *spec.slo_tpot_s));
    if (spec.slo_ttft_s) excess += std::max(0.0, std::log(plan.ttft_s / *spec.slo_ttft_s));
    if (excess < best_excess) {
      best_excess = excess;
      best = &plan;
    }
  }
  if (best == nullptr) {
    const std::string reason =
        plans.empty() ? "no layout divides the model's heads and experts" : plans.back().why_not;
    return {"no layout fits: " + reason,
            "allow more accelerators per instance, or weights of fewer bits"};
  }
  std::string change;
  if (!best->within_budget) {
    change = "allow " + std::to_string(best->accelerators) + " accelerators";
  } else {
    if (spec.slo_tpot_s && best->tpot_s > *spec.slo_tpot_s) {
      change += "a TPOT limit of " + std::to_string(best->tpot_s * 1e3) + " ms";
    }
    if (spec.slo_ttft_s && best->ttft_s > *spec.slo_ttft_s) {
      change += (change.empty() ? "" : " and ") + std::string("a TTFT limit of ") +
                std::to_string(best->ttft_s * 1e3) + " ms";
    }
    change += " would do, with tp " + std::to_string(best->parallelism.tp) + ", ep " +
              std::to_string(best->parallelism.ep) + " on " +
              std::to_string(best->accelerators_per_instance) + " accelerators and " +
              std::to_string(static_cast<long>(best->concurrency)) + " users per instance";
  }
  return {"no configuration meets the targets; the nearest one fails because " + best->why_not,
          change};
}

}  // namespace

std::vector<ServePlan> serve_layouts(const workloads::ModelConfig& model, long scale_up_domain,
                                     long accelerators) {
  std::vector<ServePlan> layouts;
  const long experts = expert_count(model);
  const auto add = [&](workloads::Parallelism parallelism, bool attention_dp) {
    ServePlan plan;
    plan.parallelism = parallelism;
    plan.attention_dp = attention_dp;
    plan.accelerators_per_instance = accelerators;
    layouts.push_back(plan);
  };
  const auto layers = static_cast<long>(model.layers.size());
  for (long pp = 1; pp <= accelerators && pp <= layers; pp *= 2) {
    const long tp = accelerators / pp;
    // Tensor parallelism does not leave the scale-up domain; pipelines begin where it ends.
    if (tp > scale_up_domain || (pp > 1 && tp < scale_up_domain)) continue;
    if (!divides_heads(model, tp)) continue;
    add({.tp = tp, .pp = pp, .etp = tp}, false);
    if (experts > 0 && tp > 1 && experts % tp == 0) add({.tp = tp, .pp = pp, .ep = tp}, false);
  }
  if (experts > 0 && accelerators > 1 && experts % accelerators == 0) {
    add({.ep = accelerators, .dp = accelerators}, true);
  }
  return layouts;
}

std::vector<ServePlan> pareto_front(std::vector<ServePlan> points) {
  std::stable_sort(points.begin(), points.end(), [](const ServePlan& a, const ServePlan& b) {
    if (a.tokens_per_s_per_user != b.tokens_per_s_per_user) {
      return a.tokens_per_s_per_user > b.tokens_per_s_per_user;
    }
    return a.output_tokens_per_s_per_accelerator > b.output_tokens_per_s_per_accelerator;
  });
  std::vector<ServePlan> front;
  double best = -std::numeric_limits<double>::infinity();
  for (const ServePlan& point : points) {
    if (point.output_tokens_per_s_per_accelerator <= best) continue;
    best = point.output_tokens_per_s_per_accelerator;
    front.push_back(point);
  }
  std::reverse(front.begin(), front.end());
  return front;
}

ServePlanning plan_serve(const PlanServeRequest& request) {
  std::vector<ServePlan> plans = candidates(request);
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  parallel_for(plans.size(), request.threads > 0 ? request.threads : cores,
               [&](std::size_t i) { evaluate(request, plans[i]); });

  ServePlanning planning;
  planning.candidates = static_cast<long>(plans.size());
  std::vector<ServePlan> fitting;
  for (const ServePlan& plan : plans) {
    if (!plan.fits) continue;
    fitting.push_back(plan);
    if (plan.meets_slo && plan.within_budget) planning.ranked.push_back(plan);
  }
  planning.fitting = static_cast<long>(fitting.size());
  planning.pareto = pareto_front(std::move(fitting));
  std::stable_sort(
      planning.ranked.begin(), planning.ranked.end(),
      [&](const ServePlan& a, const ServePlan& b) { return better(request.objective, a, b); });
  if (planning.ranked.empty()) planning.infeasible = nearest_miss(request, plans);
  return planning;
}

}  // namespace jevons::sim
