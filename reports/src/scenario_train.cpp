// Scenario section `train`.
#include "scenario_parts.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace jevons::reports {
namespace {

using sim::Schedule;

constexpr std::array<std::string_view, 6> kModules{"norm",    "mla_up_proj",    "mlp",
                                                   "moe_act", "attention_core", "layer"};
constexpr std::array<Schedule, 5> kSchedules{Schedule::gpipe, Schedule::one_f_one_b,
                                             Schedule::interleaved, Schedule::zb_h1,
                                             Schedule::dualpipe};
constexpr double kMaxCount = 1e12;

Schedule read_schedule(ScenarioReader& in, ObjectReader& train) {
  const long vpp = in.out.parallelism.vpp;
  Schedule schedule = vpp > 1 ? Schedule::interleaved : Schedule::one_f_one_b;
  if (train.has_value("schedule")) {
    std::vector<std::string_view> names;
    for (const Schedule s : kSchedules) names.push_back(sim::to_string(s));
    const std::string text = train.choice("schedule", names);
    for (const Schedule s : kSchedules) {
      if (sim::to_string(s) == text) schedule = s;
    }
    const bool needs_chunks = schedule == Schedule::interleaved;
    if (needs_chunks != (vpp > 1)) {
      throw bad_input(train.where("schedule"),
                      "schedule '" + text + "' with vpp " + std::to_string(vpp),
                      "only 'interleaved' has virtual stages, and it needs vpp of at least 2");
    }
  } else {
    train.ignore("schedule");
    if (in.out.parallelism.pp > 1) {
      in.took("/train/schedule", std::string(sim::to_string(schedule)),
              vpp > 1 ? "default with vpp > 1" : "default");
    }
  }
  return schedule;
}

void read_recompute(ScenarioReader& in, ObjectReader& train, sim::TrainSpec& spec) {
  spec.recompute_layers = train.optional_integer("recompute_layers", 0, 1000000);
  const Json* value = train.raw("recompute");
  const bool given = value != nullptr && !value->is_null();
  if (spec.recompute_layers && (!given || *value != "full")) {
    throw bad_input(train.where("recompute_layers"),
                    "recompute_layers with recompute " + (given ? value->dump() : "left out"),
                    "it says how many layers of a stage \"full\" recomputes: set recompute to "
                    "\"full\", or remove it");
  }
  if (!given) {
    in.took("/train/recompute", "none", "default");
    return;
  }
  if (!value->is_array()) {
    static constexpr std::array<std::string_view, 3> kKinds{"none", "selective", "full"};
    const std::string text = train.choice("recompute", kKinds);
    spec.recompute = text == "full"        ? sim::Recompute::full
                     : text == "selective" ? sim::Recompute::selective
                                           : sim::Recompute::none;
    return;
  }
  spec.recompute = sim::Recompute::modules;
  const std::vector<std::string> names(kModules.begin(), kModules.end());
  for (const Json& item : *value) {
    const std::string name = item.is_string() ? item.get<std::string>() : item.dump();
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      throw bad_input(train.where("recompute"), "unknown module '" + name + "'",
                      "allowed: norm, mla_up_proj, mlp, moe_act, attention_core, layer");
    }
    spec.recompute_modules.push_back(name);
  }
}

sim::Overlap read_overlap(ObjectReader& train) {
  sim::Overlap overlap;
  std::optional<ObjectReader> object = train.optional_object("overlap");
  if (!object) return overlap;
  const auto flag = [&](std::string_view key) -> std::optional<bool> {
    if (object->has_value(key)) return object->boolean_or(key, false);
    object->ignore(key);
    return std::nullopt;
  };
  overlap.tp = flag("tp");
  overlap.dp = flag("dp");
  overlap.pp = flag("pp");
  overlap.ep = flag("ep");
  object->finish();
  return overlap;
}

std::optional<sim::Failures> read_failures(ObjectReader& train) {
  std::optional<ObjectReader> object = train.optional_object("failures");
  if (!object) return std::nullopt;
  sim::Failures failures;
  failures.mtbf_accelerator_hours = object->number("mtbf_accelerator_hours", {1e-3, 1e12});
  failures.restart_s = object->number("restart_s", {0, 1e8}, UnitKind::seconds);
  failures.checkpoint_interval_s =
      object->optional_number("checkpoint_interval_s", {1e-3, 1e9}, UnitKind::seconds);
  object->finish();
  return failures;
}

/// At least 4 Mi tokens, every replica with two micro-batches per pipeline stage: a step of the
/// size that large runs use.
double default_batch(const workloads::Parallelism& layout, const sim::TrainSpec& spec) {
  constexpr double kTokens = 4194304;
  const double unit = spec.micro_batch_sequences * static_cast<double>(layout.dp) *
                      (layout.pp > 1 ? 2.0 * static_cast<double>(layout.pp) : 1.0);
  return unit * std::max(1.0, std::ceil(kTokens / (spec.sequence_length * unit)));
}

void read_batch(ScenarioReader& in, ObjectReader& train, sim::TrainSpec& spec) {
  const workloads::Parallelism& layout = in.out.parallelism;
  const auto read = [&](std::string_view key, double fallback, long high, const char* why) {
    const std::optional<long> given = train.optional_integer(key, 1, high);
    if (!given) in.took("/train/" + std::string(key), fallback, why);
    return given ? static_cast<double>(*given) : fallback;
  };
  const long positions = in.out.model.max_positions;
  spec.sequence_length = read(
      "sequence_length", positions > 0 ? std::min(4096.0, static_cast<double>(positions)) : 4096,
      100000000, "default: 4096, or what the model's positions allow");
  spec.micro_batch_sequences = read("micro_batch_sequences", 1, 1000000, "default");
  spec.global_batch_sequences =
      read("global_batch_sequences", default_batch(layout, spec), 1000000000,
           "default: at least 4 Mi tokens and two micro-batches per stage");
  if (std::fmod(spec.sequence_length, static_cast<double>(layout.cp)) != 0) {
    throw bad_input(train.where("sequence_length"), "cp " + std::to_string(layout.cp) +
                                                        " does not divide the sequence length " +
                                                        number_text(spec.sequence_length));
  }
  const double per_step = spec.micro_batch_sequences * static_cast<double>(layout.dp);
  if (std::fmod(spec.global_batch_sequences, per_step) != 0) {
    throw bad_input(train.where("global_batch_sequences"),
                    "micro_batch_sequences " + number_text(spec.micro_batch_sequences) + " x dp " +
                        std::to_string(layout.dp) + " = " + number_text(per_step) +
                        " does not divide the global batch of " +
                        number_text(spec.global_batch_sequences),
                    "allowed: multiples of " + number_text(per_step));
  }
}

/// DualPipe feeds both ends of the pipeline: an even number of stages and micro-batches, at least
/// two micro-batches per stage (deepseek-ai/DualPipe, step()).
void check_dualpipe(const ScenarioReader& in, const sim::TrainSpec& spec) {
  if (spec.schedule != Schedule::dualpipe) return;
  const workloads::Parallelism& layout = in.out.parallelism;
  const auto micro_batches =
      static_cast<long>(spec.global_batch_sequences / spec.micro_batch_sequences) / layout.dp;
  if (layout.pp % 2 != 0 || micro_batches % 2 != 0 || micro_batches < 2 * layout.pp) {
    throw bad_input(in.at("/train/schedule"),
                    "dualpipe with pp " + std::to_string(layout.pp) + " and " +
                        std::to_string(micro_batches) + " micro-batches per replica",
                    "it needs an even pp, and an even number of micro-batches of at least 2 x pp");
  }
}

Json overlap_json(const sim::Overlap& overlap) {
  Json out = Json::object();
  if (overlap.tp) out["tp"] = *overlap.tp;
  if (overlap.dp) out["dp"] = *overlap.dp;
  if (overlap.pp) out["pp"] = *overlap.pp;
  if (overlap.ep) out["ep"] = *overlap.ep;
  return out;
}

Json recompute_json(const sim::TrainSpec& spec) {
  switch (spec.recompute) {
    case sim::Recompute::none: return "none";
    case sim::Recompute::selective: return "selective";
    case sim::Recompute::full: return "full";
    case sim::Recompute::modules: break;
  }
  return spec.recompute_modules;
}

}  // namespace

void read_train(ScenarioReader& in, ObjectReader& root) {
  in.out.parallelism = read_layout(in, root.optional_object("parallelism"));
  complete_layout(in, in.out.parallelism, "/parallelism", in.out.cluster.count,
                  "accelerators (/cluster/count)");
  check_layout(in, in.out.parallelism, "/parallelism", {});
  ObjectReader train = section(in, root, "train");
  sim::TrainSpec& spec = in.out.train;
  read_batch(in, train, spec);
  spec.schedule = read_schedule(in, train);
  check_dualpipe(in, spec);
  read_recompute(in, train, spec);
  spec.offload_layers = train.integer_or("offload_layers", 0, 0, 1000000);
  const std::string optimizer = train.choice_or("optimizer", "adamw", {"adamw", "muon", "sgd"});
  spec.optimizer = optimizer == "muon"  ? sim::Optimizer::muon
                   : optimizer == "sgd" ? sim::Optimizer::sgd
                                        : sim::Optimizer::adamw;
  spec.tokens = train.optional_number("tokens", {1, 1e18}, UnitKind::count);
  spec.mtp = train.boolean_or("mtp", in.out.model.mtp_modules > 0);
  if (spec.mtp && in.out.model.mtp_modules == 0) {
    throw bad_input(train.where("mtp"),
                    "mtp is true, but " + in.out.model.id + " has no MTP module",
                    "set num_nextn_predict_layers in /model_overrides");
  }
  spec.causal = train.boolean_or("causal", true);
  spec.expert_load_max_over_mean =
      train.number_or("expert_load_max_over_mean", 1.0, {1, kMaxCount});
  spec.overlap = read_overlap(train);
  spec.failures = read_failures(train);
  train.ignore("stages");  // read_stages(), when the rest is known
  train.finish();
}

Json write_train(const sim::Scenario& scenario) {
  const sim::TrainSpec& spec = scenario.train;
  Json out = Json::object();
  out["sequence_length"] = number_json(spec.sequence_length);
  out["global_batch_sequences"] = number_json(spec.global_batch_sequences);
  out["micro_batch_sequences"] = number_json(spec.micro_batch_sequences);
  out["schedule"] = sim::to_string(spec.schedule);
  out["recompute"] = recompute_json(spec);
  if (spec.recompute_layers) out["recompute_layers"] = *spec.recompute_layers;
  out["offload_layers"] = spec.offload_layers;
  out["optimizer"] = spec.optimizer == sim::Optimizer::muon  ? "muon"
                     : spec.optimizer == sim::Optimizer::sgd ? "sgd"
                                                             : "adamw";
  if (spec.tokens) out["tokens"] = number_json(*spec.tokens);
  out["mtp"] = spec.mtp;
  out["causal"] = spec.causal;
  out["expert_load_max_over_mean"] = number_json(spec.expert_load_max_over_mean);
  out["overlap"] = overlap_json(spec.overlap);
  if (spec.failures) {
    Json failures = Json::object();
    failures["mtbf_accelerator_hours"] = number_json(spec.failures->mtbf_accelerator_hours);
    failures["restart_s"] = number_json(spec.failures->restart_s);
    failures["checkpoint_interval_s"] = spec.failures->checkpoint_interval_s
                                            ? number_json(*spec.failures->checkpoint_interval_s)
                                            : Json(nullptr);
    out["failures"] = std::move(failures);
  }
  if (!scenario.stages.empty()) out["stages"] = write_stages(scenario.stages);
  return out;
}

}  // namespace jevons::reports
