// show routing: expert loads of a model under three ways of balancing, step by step, and what
// placement makes of them on the ranks.
#include "show_routing.hpp"

#include "jevons/core/error.hpp"
#include "jevons/reports/text.hpp"
#include "jevons/sim/routing.hpp"
#include "jevons/workloads/model.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace jevons::cli {
namespace {

constexpr long kSteps = 120;
constexpr std::array<long, 7> kShown{0, 10, 25, 50, 75, 100, 119};
constexpr std::array<std::pair<sim::Balancing, const char*>, 3> kBalancing{
    {{sim::Balancing::none, "none"},
     {sim::Balancing::aux_loss, "aux_loss"},
     {sim::Balancing::bias, "bias"}}};

const workloads::FeedForward& routed_layer(const workloads::ModelConfig& model) {
  const auto layer = std::find_if(
      model.layers.begin(), model.layers.end(),
      [](const workloads::Layer& each) { return each.ffn.kind == workloads::FfnKind::moe; });
  if (layer == model.layers.end()) {
    throw bad_input("show routing", model.id + " has no routed experts");
  }
  return layer->ffn;
}

sim::RoutingSpec spec_of(const workloads::FeedForward& ffn) {
  sim::RoutingSpec spec;
  spec.experts = ffn.experts;
  spec.top_k = ffn.top_k;
  spec.groups = ffn.groups;
  spec.group_limit = ffn.group_limit;
  spec.tokens_per_step = 512;
  return spec;
}

/// Largest load of a rank over the mean, experts in order and with a redundant expert a rank.
Json placements(const std::vector<double>& loads, reports::TextTable& table) {
  Json out = Json::array();
  for (const long ranks : {8L, 16L, 32L, 64L}) {
    if (static_cast<long>(loads.size()) % ranks != 0) continue;
    const double order = sim::max_over_mean(sim::rank_loads_in_order(loads, ranks));
    const double packed = sim::max_over_mean(sim::rank_loads_balanced(loads, ranks, ranks));
    table.row(
        {fmt::format("EP{}", ranks), fmt::format("{:.3f}", order), fmt::format("{:.3f}", packed)});
    out.push_back(Json{{"ranks", ranks}, {"in_order", order}, {"redundant", packed}});
  }
  return out;
}

}  // namespace

std::pair<std::string, Json> show_routing(const std::string& id) {
  const workloads::ModelConfig model = workloads::model(id, "show routing");
  sim::RoutingSpec spec = spec_of(routed_layer(model));
  std::vector<sim::RoutingLoads> loads;
  Json json{{"model", model.id}, {"experts", spec.experts},     {"top_k", spec.top_k},
            {"skew", spec.skew}, {"bias_rate", spec.bias_rate}, {"aux_rate", spec.aux_rate}};
  for (const auto& [balancing, name] : kBalancing) {
    spec.balancing = balancing;
    loads.push_back(sim::simulate_routing(spec, kSteps));
    json["max_over_mean"][name] = loads.back().max_over_mean;
  }
  reports::TextTable steps({"step", "none", "auxiliary loss", "bias"}, 0);
  for (const long step : kShown) {
    std::vector<std::string> row{std::to_string(step)};
    for (const auto& each : loads) {
      row.push_back(fmt::format("{:.2f}", each.max_over_mean[static_cast<std::size_t>(step)]));
    }
    steps.row(row);
  }
  reports::TextTable ranks({"", "experts in order", "one redundant expert a rank"}, 0);
  json["ranks"] = placements(loads.front().last, ranks);
  std::string text = fmt::format(
      "{}: {} of {} experts a token; popularity with a skew of {:g} (assumed), {} tokens a step\n\n"
      "Tokens of the busiest expert over the mean, by step; bias rule with gamma {:g}\n{}\n"
      "Tokens of the busiest rank over the mean, nothing balanced\n{}",
      model.id, spec.top_k, spec.experts, spec.skew, spec.tokens_per_step, spec.bias_rate,
      steps.text(), ranks.text());
  return {std::move(text), std::move(json)};
}

}  // namespace jevons::cli
