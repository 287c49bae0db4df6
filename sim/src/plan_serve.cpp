#include "jevons/sim/plan_serve.hpp"

#include "parallel.hpp"

#include "jevons/core/error.hpp"
#include "jevons/sim/run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

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

/// Ranks with sequences, and a token budget, of their own.
double data_ranks(const workloads::Parallelism& p, bool attention_dp) {
  return static_cast<double>(attention_dp ? p.tp * p.dp : p.dp);
}

Scenario scenario_of(const PlanServeRequest& request, const ServePlan& plan) {
  Scenario s = request.base;
  s.parallelism = plan.parallelism;
  s.precision = plan.precision;
  s.cluster.count = plan.accelerators_per_instance;
  s.serve.mode = ServeMode::aggregated;
  s.serve.attention_dp = plan.attention_dp;
  s.serve.max_batch_tokens *= data_ranks(plan.parallelism, plan.attention_dp) /
                              data_ranks(request.base.parallelism, request.base.serve.attention_dp);
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

std::string join(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : " and ") + part;
  return text;
}

/// Every limit that the plan misses, in words.
std::vector<std::string> misses(const PlanServeRequest& request, const ServePlan& plan) {
  const ServeSpec& spec = request.base.serve;
  std::vector<std::string> out;
  const auto slower = [&](const char* what, double have, const std::optional<double>& limit) {
    if (limit && have > *limit) {
      out.push_back(fmt::format("{} {:.4g} ms exceeds {:.4g} ms", what, have * 1e3, *limit * 1e3));
    }
  };
  slower("TPOT", plan.tpot_s, spec.slo_tpot_s);
  slower("TTFT", plan.ttft_s, spec.slo_ttft_s);
  if (!plan.within_budget) {
    out.push_back(fmt::format("the load needs {} accelerators, {} are allowed", plan.accelerators,
                              request.max_accelerators));
  }
  return out;
}

void scale_to_demand(const PlanServeRequest& request, ServePlan& plan) {
  if (request.demand.requests_per_s) {
    plan.instances = std::ceil(*request.demand.requests_per_s / plan.requests_per_s);
  } else if (request.demand.users) {
    plan.instances = std::ceil(*request.demand.users / plan.concurrency);
  }
  plan.accelerators = static_cast<long>(plan.instances) * plan.accelerators_per_instance;
  plan.within_budget =
      request.max_accelerators <= 0 || plan.accelerators <= request.max_accelerators;
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
  const double nan = std::numeric_limits<double>::quiet_NaN();
  plan.ttft_s = number_or(m, "ttft_p50_s", number_or(m, "ttft_mean_s", nan));
  plan.tpot_s = number_or(m, "tpot_p50_s", number_or(m, "tpot_mean_s", nan));
  plan.tokens_per_s_per_user = number_or(m, "tokens_per_s_per_user", nan);
  plan.output_tokens_per_s_per_accelerator =
      number_or(m, "output_tokens_per_s_per_accelerator", nan);
  plan.requests_per_s = number_or(m, "requests_per_s", nan);
  plan.tokens_per_joule = number_or(m, "output_tokens_per_s_per_w", 0.0);
  plan.usd_per_mtok_output = m.number("usd_per_mtok_output");
  scale_to_demand(request, plan);
  plan.why_not = join(misses(request, plan));
  const ServeSpec& spec = request.base.serve;
  plan.meets_slo = (!spec.slo_tpot_s || plan.tpot_s <= *spec.slo_tpot_s) &&
                   (!spec.slo_ttft_s || plan.ttft_s <= *spec.slo_ttft_s);
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

long instance_limit(const PlanServeRequest& request) {
  return request.max_accelerators_per_instance > 0 ? request.max_accelerators_per_instance
                                                   : request.base.cluster.count;
}

std::vector<ServePlan> candidates(const PlanServeRequest& request) {
  const long limit = instance_limit(request);
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

/// How far beyond a limit: the logarithm of the ratio.
double excess(double have, double limit) {
  return std::max(0.0, std::log(have / limit));
}

/// A limit of three digits that `seconds` keeps.
std::string limit_text(double seconds) {
  const double digit = std::pow(10.0, std::floor(std::log10(seconds * 1e3)) - 2);
  return fmt::format("{:.4g} ms", std::ceil(seconds * 1e3 / digit) * digit);
}

std::string layout_text(const ServePlan& plan) {
  return fmt::format("tp {}, pp {}, ep {}{} on {} accelerators", plan.parallelism.tp,
                     plan.parallelism.pp, plan.parallelism.ep,
                     plan.attention_dp ? ", data-parallel attention" : "",
                     plan.accelerators_per_instance);
}

/// The smallest larger instance in which the model fits.
std::string larger_instance(const PlanServeRequest& request, long limit) {
  constexpr long kMostTimes = 64;
  for (long chips = 2 * limit; chips <= kMostTimes * limit; chips *= 2) {
    for (ServePlan plan :
         serve_layouts(request.base.model, request.base.cluster.scale_up_domain, chips)) {
      plan.precision = request.precisions.empty() ? request.base.precision : request.precisions[0];
      plan.concurrency = plan.attention_dp ? static_cast<double>(chips) : 1.0;
      evaluate(request, plan);
      if (plan.fits) return "it fits with " + layout_text(plan) + " per instance";
    }
  }
  return {};
}

Infeasible nothing_fits(const PlanServeRequest& request, const std::vector<ServePlan>& plans,
                        long limit) {
  const std::string reason =
      plans.empty() ? "no layout divides the model's heads and experts"
                    : fmt::format("no layout of up to {} accelerators an instance fits: {}", limit,
                                  plans.back().why_not);
  const std::string larger = larger_instance(request, limit);
  return {reason, larger.empty() ? "weights of fewer bits, or accelerators with more memory"
                                 : larger + "; or weights of fewer bits"};
}

/// What stopped the plan that came nearest, by the sum of its excesses, and what would let it pass.
Infeasible nearest_miss(const PlanServeRequest& request, const std::vector<ServePlan>& plans) {
  const ServeSpec& spec = request.base.serve;
  const ServePlan* best = nullptr;
  double least = std::numeric_limits<double>::infinity();
  for (const ServePlan& plan : plans) {
    if (!plan.fits) continue;
    double sum = 0;
    if (spec.slo_tpot_s) sum += excess(plan.tpot_s, *spec.slo_tpot_s);
    if (spec.slo_ttft_s) sum += excess(plan.ttft_s, *spec.slo_ttft_s);
    if (request.max_accelerators > 0) {
      sum += excess(static_cast<double>(plan.accelerators),
                    static_cast<double>(request.max_accelerators));
    }
    if (sum < least) {
      least = sum;
      best = &plan;
    }
  }
  if (best == nullptr) return nothing_fits(request, plans, instance_limit(request));
  std::vector<std::string> changes;
  if (spec.slo_tpot_s && best->tpot_s > *spec.slo_tpot_s) {
    changes.push_back("a TPOT limit of " + limit_text(best->tpot_s));
  }
  if (spec.slo_ttft_s && best->ttft_s > *spec.slo_ttft_s) {
    changes.push_back("a TTFT limit of " + limit_text(best->ttft_s));
  }
  if (!best->within_budget) {
    changes.push_back(fmt::format("{} accelerators in all", best->accelerators));
  }
  return {"no configuration meets the targets; in the nearest one " + best->why_not,
          fmt::format("{}, with {} and {:.0f} users per instance", join(changes),
                      layout_text(*best), best->concurrency)};
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
  parallel_for(plans.size(), request.threads, [&](std::size_t i) { evaluate(request, plans[i]); });

  ServePlanning planning;
  planning.candidates = static_cast<long>(plans.size());
  for (const ServePlan& plan : plans) {
    if (!plan.fits) continue;
    planning.fitting.push_back(plan);
    if (plan.meets_slo && plan.within_budget) planning.ranked.push_back(plan);
  }
  planning.pareto = pareto_front(planning.fitting);
  std::stable_sort(
      planning.ranked.begin(), planning.ranked.end(),
      [&](const ServePlan& a, const ServePlan& b) { return better(request.objective, a, b); });
  if (planning.ranked.empty()) planning.infeasible = nearest_miss(request, plans);
  return planning;
}

}  // namespace jevons::sim
