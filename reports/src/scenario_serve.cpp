// Scenario section `serve`: mode, instances and pools, batching, speculation, service levels.
#include "scenario_serve.hpp"

#include "jevons/core/error.hpp"
#include "jevons/workloads/acceptance.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace jevons::reports {
namespace {

using sim::ServeMode;
using sim::Speculation;
using sim::Traffic;

constexpr std::array<std::pair<std::string_view, ServeMode>, 3> kModes{{
    {"aggregated", ServeMode::aggregated},
    {"disaggregated", ServeMode::disaggregated},
    {"static", ServeMode::static_batch},
}};
constexpr std::array<std::pair<std::string_view, Speculation::Method>, 3> kMethods{{
    {"mtp", Speculation::Method::mtp},
    {"draft", Speculation::Method::draft},
    {"ngram", Speculation::Method::ngram},
}};

ServeMode read_mode(ScenarioReader& in, ObjectReader& serve, const Traffic& traffic) {
  const bool fixed_batch = traffic.kind == Traffic::Kind::static_batch;
  if (!serve.has_value("mode")) {
    serve.ignore("mode");
    in.took("/serve/mode", fixed_batch ? "static" : "aggregated", "default");
    return fixed_batch ? ServeMode::static_batch : ServeMode::aggregated;
  }
  std::vector<std::string_view> names;
  for (const auto& [name, unused] : kModes) names.push_back(name);
  const std::string text = serve.choice("mode", names);
  if ((text == "static") != fixed_batch) {
    throw bad_input(serve.where("mode"),
                    "mode '" + text + "' does not go with the traffic of /serve/traffic/kind",
                    "mode static and traffic static belong together: one fixed batch");
  }
  for (const auto& [name, mode] : kModes) {
    if (name == text) return mode;
  }
  return ServeMode::aggregated;
}

sim::Pool read_pool(ScenarioReader& in, ObjectReader pool, const sim::ServeSpec& spec) {
  sim::Pool out;
  out.instances = static_cast<double>(pool.integer_or("instances", 1, 1, 1000000));
  out.accelerators = pool.integer("accelerators", 1, 100000000);
  const std::string pointer = pool.pointer() + "/parallelism";
  out.parallelism = read_layout(in, pool.optional_object("parallelism"));
  complete_layout(in, out.parallelism, pointer, out.accelerators,
                  "accelerators (" + pool.pointer() + "/accelerators)");
  check_layout(in, out.parallelism, pointer, {spec.redundant_experts, spec.attention_dp});
  pool.finish();
  return out;
}

void read_pools(ScenarioReader& in, ObjectReader& root, ObjectReader& serve) {
  sim::ServeSpec& spec = in.out.serve;
  if (serve.has_value("instances") && serve.integer("instances", 1, 1000000) != 1) {
    throw bad_input(serve.where("instances"), "instances of a disaggregated deployment",
                    "give /serve/prefill/instances and /serve/decode/instances instead");
  }
  spec.prefill = read_pool(in, serve.object("prefill"), spec);
  spec.decode = read_pool(in, serve.object("decode"), spec);
  const double total = spec.prefill->instances * static_cast<double>(spec.prefill->accelerators) +
                       spec.decode->instances * static_cast<double>(spec.decode->accelerators);
  if (total != static_cast<double>(in.out.cluster.count)) {
    throw bad_input(in.at("/cluster/count"),
                    "prefill " + number_text(spec.prefill->instances) + " x " +
                        std::to_string(spec.prefill->accelerators) + " + decode " +
                        number_text(spec.decode->instances) + " x " +
                        std::to_string(spec.decode->accelerators) + " = " + number_text(total) +
                        " accelerators, not " + std::to_string(in.out.cluster.count));
  }
  // The pools carry their own layouts; the one at the top is the prefill pool's.
  (void)read_layout(in, root.optional_object("parallelism"));
  in.out.parallelism = spec.prefill->parallelism;
}

void read_instances(ScenarioReader& in, ObjectReader& root, ObjectReader& serve) {
  sim::ServeSpec& spec = in.out.serve;
  for (const std::string_view pool : {"prefill", "decode"}) {
    if (serve.has_value(pool)) {
      throw bad_input(serve.where(pool), "a pool in a deployment that is not disaggregated",
                      "set /serve/mode to \"disaggregated\"");
    }
    serve.ignore(pool);
  }
  const long count = in.out.cluster.count;
  workloads::Parallelism& layout = in.out.parallelism;
  layout = read_layout(in, root.optional_object("parallelism"));
  std::optional<long> instances = serve.optional_integer("instances", 1, 100000000);
  if (!instances) {
    const double world = static_cast<double>(layout.tp) * static_cast<double>(layout.pp) *
                         static_cast<double>(layout.cp) * static_cast<double>(layout.dp);
    const bool divides = layout.dp > 0 && world <= static_cast<double>(count) &&
                         count % static_cast<long>(world) == 0;
    instances = divides ? count / static_cast<long>(world) : 1;
    if (*instances > 1)
      in.took("/serve/instances", std::to_string(*instances), "count / (tp x pp x cp x dp)");
  }
  if (count % *instances != 0) {
    throw bad_input(serve.where("instances"),
                    std::to_string(*instances) + " instances do not divide the " +
                        std::to_string(count) + " accelerators of /cluster/count");
  }
  spec.instances = static_cast<double>(*instances);
  const long each = count / *instances;
  complete_layout(in, layout, "/parallelism", each,
                  *instances == 1 ? "accelerators (/cluster/count)"
                                  : "accelerators per instance (/cluster/count / instances)");
  check_layout(in, layout, "/parallelism", {spec.redundant_experts, spec.attention_dp});
}

/// A number, a list, or the name of a measured curve.
std::vector<double> read_acceptance(ScenarioReader& in, ObjectReader& object, long tokens) {
  const Json* value = object.raw("acceptance");
  if (value != nullptr && value->is_string()) {
    const std::string where = object.where("acceptance");
    const auto& curve = workloads::acceptance_curve(value->get<std::string>(), where);
    if (static_cast<std::size_t>(tokens) > curve.acceptance.size()) {
      throw bad_input(where, "'" + curve.id + "' for " + std::to_string(tokens) + " draft tokens",
                      "it was measured to " + std::to_string(curve.acceptance.size()));
    }
    in.took("/serve/speculation/acceptance", curve.id, curve.source.text, curve.source.mark);
    return {curve.acceptance.begin(), curve.acceptance.begin() + tokens};
  }
  if (value == nullptr || !value->is_array()) {
    return std::vector<double>(static_cast<std::size_t>(tokens),
                               object.number("acceptance", kFraction));
  }
  std::vector<double> rates;
  for (const Json& item : *value) {
    const double rate = item.is_number() ? item.get<double>() : -1;
    if (!(rate >= 0 && rate <= 1)) {
      throw bad_input(object.where("acceptance"), "expected numbers from 0 to 1");
    }
    rates.push_back(rate);
  }
  if (rates.size() != static_cast<std::size_t>(tokens)) {
    throw bad_input(
        object.where("acceptance"),
        std::to_string(rates.size()) + " rates for " + std::to_string(tokens) + " draft tokens",
        "one number, one per position, or a curve of `jevons list acceptance`");
  }
  return rates;
}

std::optional<Speculation> read_speculation(ScenarioReader& in, ObjectReader& serve) {
  std::optional<ObjectReader> object = serve.optional_object("speculation");
  if (!object) return std::nullopt;
  Speculation speculation;
  std::vector<std::string_view> names;
  for (const auto& [name, unused] : kMethods) names.push_back(name);
  const std::string method = object->choice("method", names);
  for (const auto& [name, value] : kMethods) {
    if (name == method) speculation.method = value;
  }
  speculation.tokens = object->integer("tokens", 1, 64);
  speculation.acceptance = read_acceptance(in, *object, speculation.tokens);
  const Json* draft = object->raw("model");
  if (speculation.method == Speculation::Method::draft) {
    if (draft == nullptr) throw bad_input(object->where(), "missing key 'model' (the draft model)");
    speculation.draft_model =
        resolve_model(in, *draft, nullptr, object->pointer() + "/model", in.out.origin.draft_model);
  } else if (draft != nullptr) {
    throw bad_input(object->where("model"), "a draft model with method '" + method + "'",
                    "only method \"draft\" has one");
  }
  if (speculation.method == Speculation::Method::mtp && in.out.model.mtp_modules == 0) {
    throw bad_input(object->where("method"),
                    "method 'mtp', but " + in.out.model.id + " has no MTP module",
                    "set num_nextn_predict_layers in /model_overrides");
  }
  object->finish();
  return speculation;
}

void read_slo(ObjectReader& serve, sim::ServeSpec& spec) {
  std::optional<ObjectReader> slo = serve.optional_object("slo");
  if (!slo) return;
  spec.slo_ttft_s = slo->optional_number("ttft_s", {0, 1e7, true}, UnitKind::seconds);
  spec.slo_tpot_s = slo->optional_number("tpot_s", {0, 1e7, true}, UnitKind::seconds);
  slo->finish();
}

void read_batching(ScenarioReader& in, ObjectReader& serve, sim::ServeSpec& spec) {
  const bool has_sequences = serve.has_value("max_batch_sequences");
  const bool has_tokens = serve.has_value("max_batch_tokens");
  // Engines are started with room for the users they are to hold.
  const double users =
      spec.traffic.kind == sim::Traffic::Kind::closed ? std::ceil(spec.traffic.concurrency) : 0.0;
  const long sequences = std::max(256L, static_cast<long>(std::min(users, 1e9)));
  spec.max_batch_sequences =
      static_cast<double>(serve.integer_or("max_batch_sequences", sequences, 1, 1000000000));
  // Every data-parallel rank has a scheduler of its own.
  const workloads::Parallelism& l = in.out.parallelism;
  const long ranks = spec.mode == ServeMode::disaggregated ? 1
                     : spec.attention_dp                   ? l.tp * l.dp
                                                           : l.dp;
  const long tokens = 8192 * std::max(1L, ranks);
  spec.max_batch_tokens =
      static_cast<double>(serve.integer_or("max_batch_tokens", tokens, 1, 1000000000000));
  spec.chunked_prefill = serve.boolean_or("chunked_prefill", true);
  spec.preemption = serve.choice_or("preemption", "recompute", {"recompute", "swap"}) == "swap"
                        ? sim::Preemption::swap
                        : sim::Preemption::recompute;
  if (spec.mode == ServeMode::static_batch) return;
  if (!has_sequences)
    in.took("/serve/max_batch_sequences", static_cast<double>(sequences),
            "default: 256, or the users of a closed loop");
  if (!has_tokens) {
    in.took("/serve/max_batch_tokens", static_cast<double>(tokens),
            "default: 8,192 for each data-parallel rank");
  }
}

Json pool_json(const sim::Pool& pool) {
  Json out = Json::object();
  out["instances"] = number_json(pool.instances);
  out["accelerators"] = pool.accelerators;
  out["parallelism"] = write_layout(pool.parallelism);
  return out;
}

Json speculation_json(const sim::Scenario& scenario) {
  const Speculation& speculation = *scenario.serve.speculation;
  Json out = Json::object();
  for (const auto& [name, method] : kMethods) {
    if (method == speculation.method) out["method"] = name;
  }
  out["tokens"] = speculation.tokens;
  out["acceptance"] = speculation.acceptance;
  if (speculation.draft_model) out["model"] = Json::parse(scenario.origin.draft_model);
  return out;
}

}  // namespace

void read_serve(ScenarioReader& in, ObjectReader& root) {
  ObjectReader serve = section(in, root, "serve");
  sim::ServeSpec& spec = in.out.serve;
  spec.traffic = read_traffic(in, serve);
  spec.mode = read_mode(in, serve, spec.traffic);
  spec.input_tokens = read_length(in, serve, "input_tokens");
  spec.output_tokens = read_length(in, serve, "output_tokens");
  spec.prefix_hit_rate = serve.number_or("prefix_hit_rate", 0, {0, 1});
  spec.attention_dp = serve.boolean_or("attention_dp", false);
  spec.redundant_experts = static_cast<double>(serve.integer_or("redundant_experts", 0, 0, 100000));
  if (spec.mode == ServeMode::disaggregated) {
    read_pools(in, root, serve);
  } else {
    read_instances(in, root, serve);
  }
  read_batching(in, serve, spec);
  spec.speculation = read_speculation(in, serve);
  read_slo(serve, spec);
  spec.expert_load_max_over_mean = serve.optional_number("expert_load_max_over_mean", {1, 1e6});
  serve.finish();
}

Json write_serve(const sim::Scenario& scenario) {
  const sim::ServeSpec& spec = scenario.serve;
  Json out = Json::object();
  for (const auto& [name, mode] : kModes) {
    if (mode == spec.mode) out["mode"] = name;
  }
  out["traffic"] = write_traffic(spec.traffic);
  out["input_tokens"] = write_length(spec.input_tokens);
  out["output_tokens"] = write_length(spec.output_tokens);
  out["prefix_hit_rate"] = number_json(spec.prefix_hit_rate);
  out["max_batch_sequences"] = number_json(spec.max_batch_sequences);
  out["max_batch_tokens"] = number_json(spec.max_batch_tokens);
  out["chunked_prefill"] = spec.chunked_prefill;
  out["preemption"] = spec.preemption == sim::Preemption::swap ? "swap" : "recompute";
  if (spec.mode != ServeMode::disaggregated) out["instances"] = number_json(spec.instances);
  if (spec.prefill) out["prefill"] = pool_json(*spec.prefill);
  if (spec.decode) out["decode"] = pool_json(*spec.decode);
  out["attention_dp"] = spec.attention_dp;
  out["redundant_experts"] = number_json(spec.redundant_experts);
  if (spec.speculation) out["speculation"] = speculation_json(scenario);
  if (spec.slo_ttft_s || spec.slo_tpot_s) {
    Json slo = Json::object();
    if (spec.slo_ttft_s) slo["ttft_s"] = number_json(*spec.slo_ttft_s);
    if (spec.slo_tpot_s) slo["tpot_s"] = number_json(*spec.slo_tpot_s);
    out["slo"] = std::move(slo);
  }
  if (spec.expert_load_max_over_mean) {
    out["expert_load_max_over_mean"] = number_json(*spec.expert_load_max_over_mean);
  }
  return out;
}

}  // namespace jevons::reports
