// The stages of a training run, `train.stages`: each is the whole scenario with the keys it gives
// put over /train and /parallelism.
#include "scenario_parts.hpp"

#include "jevons/core/error.hpp"
#include "jevons/reports/scenario_json.hpp"

#include <array>
#include <cmath>
#include <utility>

namespace jevons::reports {
namespace {

constexpr std::array<std::string_view, 8> kTrainKeys{
    "sequence_length", "micro_batch_sequences",     "schedule", "recompute", "recompute_layers",
    "offload_layers",  "expert_load_max_over_mean", "overlap"};
constexpr double kMost = 1e18;

/// Keys of the layout that a stage gives go over the run's; dp follows from the others.
void put_layout(Json& document, const Json& layout) {
  Json& out = document["parallelism"];
  if (!out.is_object()) out = Json::object();
  out.erase("dp");
  out.update(layout);
}

class StageReader {
 public:
  StageReader(const ScenarioReader& in, const Json& document, const Json& stage,
              std::string pointer)
      : in_(in),
        document_(document),
        pointer_(std::move(pointer)),
        object_(stage, in.file, pointer_) {
    document_["train"].erase("stages");
    document_["train"].erase("tokens");
    document_["name"] = "stage";
  }

  sim::RunStage read(std::size_t number) {
    sim::RunStage out;
    out.name = object_.string_or("name", "stage " + std::to_string(number + 1));
    const std::optional<double> tokens =
        object_.optional_number("tokens", {1, kMost}, UnitKind::count);
    const std::optional<long> steps = object_.optional_integer("steps", 1, 1000000000000L);
    if (tokens.has_value() == steps.has_value()) {
      throw bad_input(in_.at(pointer_), tokens ? "both tokens and steps" : "no length",
                      "give either tokens or steps");
    }
    for (const std::string_view key : kTrainKeys) {
      if (const Json* value = object_.raw(key)) document_["train"][std::string(key)] = *value;
    }
    if (const Json* layout = object_.raw("parallelism"); layout != nullptr) {
      if (!layout->is_object()) {
        throw bad_input(object_.where("parallelism"), "read " + layout->dump(), "an object");
      }
      put_layout(document_, *layout);
    }
    read_batch(out);
    out.scenario = scenario();
    sim::TrainSpec& train = out.scenario.train;
    const double to = train.global_batch_sequences, from = out.batch_from.value_or(to);
    // A batch linear in the tokens grows exponentially with the steps: their logarithmic mean.
    const double mean = from == to ? to : (to - from) / std::log(to / from);
    train.tokens = tokens ? *tokens : static_cast<double>(*steps) * mean * train.sequence_length;
    object_.finish();
    return out;
  }

 private:
  void read_batch(sim::RunStage& out) {
    const Json* batch = object_.raw("global_batch_sequences");
    if (batch == nullptr) return;
    if (!batch->is_object()) {
      document_["train"]["global_batch_sequences"] = *batch;
      return;
    }
    ObjectReader ramp(*batch, in_.file, pointer_ + "/global_batch_sequences");
    const long from = ramp.integer("from", 1, 1000000000);
    const long to = ramp.integer("to", 1, 1000000000);
    ramp.finish();
    document_["train"]["global_batch_sequences"] = from;
    (void)scenario();  // the first step must run as well
    document_["train"]["global_batch_sequences"] = to;
    out.batch_from = static_cast<double>(from);
  }

  sim::Scenario scenario() const {
    try {
      return read_scenario(document_, in_.file, in_.catalogue);
    } catch (const Error& error) {
      throw Error(error.kind(), in_.at(pointer_) + " as " + error.where(), error.message(),
                  error.hint());
    }
  }

  const ScenarioReader& in_;
  Json document_;
  std::string pointer_;
  ObjectReader object_;
};

}  // namespace

void read_stages(ScenarioReader& in, const Json& document) {
  const Json& train = document.value("train", Json::object());
  const auto given = train.find("stages");
  if (given == train.end() || given->is_null()) return;
  if (!given->is_array() || given->empty()) {
    throw bad_input(
        in.at("/train/stages"),
        "read " + given->dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 60),
        "a list of stages, each with tokens or steps and what it changes");
  }
  double sum = 0;
  for (std::size_t i = 0; i < given->size(); ++i) {
    in.out.stages.push_back(
        StageReader(in, document, (*given)[i], "/train/stages/" + std::to_string(i)).read(i));
    sum += *in.out.stages.back().scenario.train.tokens;
  }
  std::optional<double>& whole = in.out.train.tokens;
  constexpr double kRounding = 1e-3;
  if (whole && std::abs(*whole / sum - 1) > kRounding) {
    throw bad_input(in.at("/train/tokens"),
                    number_text(*whole) + " tokens, but the stages add up to " + number_text(sum),
                    "leave tokens out, or make them agree within 0.1 %");
  }
  whole = sum;
}

Json write_stages(const std::vector<sim::RunStage>& stages) {
  Json out = Json::array();
  for (const sim::RunStage& stage : stages) {
    const Json train = write_train(stage.scenario);
    Json one = Json::object();
    one["name"] = stage.name;
    one["tokens"] = train.at("tokens");
    one["global_batch_sequences"] = train.at("global_batch_sequences");
    if (stage.batch_from) {
      one["global_batch_sequences"] = Json{{"from", number_json(*stage.batch_from)},
                                           {"to", train.at("global_batch_sequences")}};
    }
    for (const std::string_view key : kTrainKeys) {
      if (const auto found = train.find(key); found != train.end()) one[std::string(key)] = *found;
    }
    one["parallelism"] = write_layout(stage.scenario.parallelism);
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace jevons::reports
