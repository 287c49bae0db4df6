// plan: which layout, batch and precision serves a load inside its SLO at the lowest cost.
#include "document.hpp"
#include "results.hpp"
#include "verbs.hpp"

#include "jevons/core/error.hpp"
#include "jevons/reports/plan.hpp"
#include "jevons/reports/scenario_json.hpp"
#include "jevons/reports/text.hpp"
#include "jevons/sim/plan_serve.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <utility>

namespace jevons::cli {
namespace {

using sim::ServePlan;

constexpr std::array<std::pair<std::string_view, sim::Objective>, 3> kObjectives{{
    {"usd_per_mtok", sim::Objective::usd_per_mtok},
    {"tokens_per_joule", sim::Objective::tokens_per_joule},
    {"accelerators", sim::Objective::accelerators},
}};

sim::PlanServeRequest request_of(const Options& options, sim::Scenario base) {
  sim::PlanServeRequest request;
  request.base = std::move(base);
  request.demand.requests_per_s = options.plan.requests_per_s;
  request.demand.users = options.plan.users;
  if (request.demand.requests_per_s && request.demand.users) {
    throw Error(ErrorKind::usage, "plan",
                "--demand-requests and --demand-users exclude each other");
  }
  for (const auto& [name, objective] : kObjectives) {
    if (name == options.plan.objective) request.objective = objective;
  }
  for (const std::string& preset : options.plan.precisions) {
    request.precisions.push_back(precision_preset(preset, "--precisions"));
  }
  request.max_accelerators_per_instance = options.plan.max_per_instance;
  request.max_accelerators = options.plan.max_accelerators;
  request.threads = options.threads;
  return request;
}

Json plan_json(const ServePlan& plan) {
  const auto& p = plan.parallelism;
  Json out = Json::object();
  out["parallelism"] =
      Json{{"tp", p.tp}, {"pp", p.pp}, {"cp", p.cp}, {"ep", p.ep}, {"etp", p.etp}, {"dp", p.dp}};
  out["attention_dp"] = plan.attention_dp;
  out["precision"] = plan.precision.preset;
  out["concurrency_per_instance"] = plan.concurrency;
  out["accelerators_per_instance"] = plan.accelerators_per_instance;
  out["instances"] = plan.instances;
  out["accelerators"] = plan.accelerators;
  out["ttft_p50_s"] = plan.ttft_s;
  out["tpot_p50_s"] = plan.tpot_s;
  out["tokens_per_s_per_user"] = plan.tokens_per_s_per_user;
  out["output_tokens_per_s_per_accelerator"] = plan.output_tokens_per_s_per_accelerator;
  out["requests_per_s_per_instance"] = plan.requests_per_s;
  out["output_tokens_per_j"] = plan.tokens_per_joule;
  out["usd_per_mtok_output"] =
      plan.usd_per_mtok_output ? Json(*plan.usd_per_mtok_output) : Json(nullptr);
  return out;
}

Json planning_json(const sim::ServePlanning& planning, const sim::Scenario& base) {
  Json out = Json::object();
  out["schema"] = "jevons.plan/1";
  out["inputs"] = reports::write_scenario(base);
  out["candidates"] = planning.candidates;
  out["fitting"] = planning.fitting.size();
  for (const auto& [key, plans] :
       {std::pair{"ranked", &planning.ranked}, std::pair{"pareto", &planning.pareto}}) {
    out[key] = Json::array();
    for (const ServePlan& plan : *plans) out[key].push_back(plan_json(plan));
  }
  if (planning.infeasible) {
    out["infeasible"] = Json{{"reason", planning.infeasible->reason},
                             {"smallest_change", planning.infeasible->smallest_change}};
  }
  return out;
}

}  // namespace

int plan_verb(const Options& options) {
  ResultOutputs outputs(options);
  const hwmodels::Catalogue catalogue;
  std::string file;
  const Json document = scenario_document(options, "serve", file);
  const sim::PlanServeRequest request =
      request_of(options, resolve(document, file, options, catalogue));
  const sim::ServePlanning planning = sim::plan_serve(request);
  outputs.write_json(planning_json(planning, request.base));
  if (outputs.wants_html()) {
    outputs.write_html(reports::planning_to_html(
        planning, options.plan.objective,
        {.title = request.base.name, .command = options.command, .version = JEVONS_VERSION}));
  }
  if (outputs.wants_table()) {
    print(reports::planning_to_text(planning, options.plan.objective));
  }
  if (!planning.infeasible) return 0;
  note("infeasible: " + reports::printable(planning.infeasible->reason) + "\n");
  if (!planning.infeasible->smallest_change.empty()) {
    note("  smallest change that would do: " +
         reports::printable(planning.infeasible->smallest_change) + "\n");
  }
  return 4;
}

}  // namespace jevons::cli
