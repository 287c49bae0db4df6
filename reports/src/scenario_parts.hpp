// Sections of a scenario file, one reader each. Private to reports.
#pragma once

#include "jevons/core/json_reader.hpp"
#include "jevons/hwmodels/catalogue.hpp"
#include "jevons/sim/scenario.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace jevons::reports {

/// What the readers of one scenario share.
struct ScenarioReader {
  const hwmodels::Catalogue& catalogue;
  std::string file;       ///< names the document in messages
  std::string directory;  ///< anchors relative paths; empty: the working directory
  sim::Scenario& out;

  /// Notes a default or assumption that the scenario did not give.
  void took(std::string path, std::string value, std::string why, Mark mark = Mark::assumed);
  void took(std::string path, double value, std::string why, Mark mark = Mark::assumed);
  /// A path of the scenario, relative to the scenario's own folder.
  [[nodiscard]] std::string resolve(const std::string& path) const;
  [[nodiscard]] std::string at(std::string_view pointer) const;  ///< "file: /pointer"
};

/// Contains '/' or ends in .json.
[[nodiscard]] bool is_path(std::string_view text);
/// Shortest text that reads back as the same double; whole numbers without exponent up to 1e15.
[[nodiscard]] std::string number_text(double value);
/// A double as JSON: an integer when it is whole and exact.
[[nodiscard]] Json number_json(double value);

/// The section, or an empty one when it is left out: everything in it has a default.
[[nodiscard]] ObjectReader section(const ScenarioReader& in, ObjectReader& root,
                                   std::string_view name);

void read_model(ScenarioReader& in, ObjectReader& root);
/// A model given as preset id, path or object; `origin` gets the words it was given in.
[[nodiscard]] workloads::ModelConfig resolve_model(ScenarioReader& in, const Json& value,
                                                   const Json* overrides,
                                                   const std::string& pointer, std::string& origin);
void read_cluster(ScenarioReader& in, ObjectReader& root);
void read_precision(ScenarioReader& in, ObjectReader& root);
/// Serving: the cache format the engine chooses for the checkpoint, unless the scenario names one.
void choose_kv_cache(ScenarioReader& in, const ObjectReader& root);
void read_stack(ScenarioReader& in, ObjectReader& root);
void read_train(ScenarioReader& in, ObjectReader& root);
/// After everything else: a stage is a whole scenario.
void read_stages(ScenarioReader& in, const Json& document);
void read_serve(ScenarioReader& in, ObjectReader& root);
void read_op(ScenarioReader& in, ObjectReader& root);
void read_price(ScenarioReader& in, ObjectReader& root);
void read_power(ScenarioReader& in, ObjectReader& root);

/// Reads `parallelism`; dp stays 0 where it is left out.
[[nodiscard]] workloads::Parallelism read_layout(ScenarioReader& in,
                                                 std::optional<ObjectReader> object);
/// Derives dp or checks that the layout multiplies to `accelerators` (contract, section 1);
/// `what` names them in the message.
void complete_layout(const ScenarioReader& in, workloads::Parallelism& layout,
                     const std::string& pointer, long accelerators, const std::string& what);
struct LayoutUse {
  double redundant_experts = 0;
  bool attention_dp = false;  ///< attention is not cut by tp
};
/// What real stacks refuse: heads by tp, experts by ep, layers by pp · vpp.
void check_layout(ScenarioReader& in, const workloads::Parallelism& layout,
                  const std::string& pointer, LayoutUse use);

/// The preset, or what differs from it in the arithmetic.
[[nodiscard]] std::string precision_words(const Precision& precision);
[[nodiscard]] Json write_precision(const Precision& precision);
[[nodiscard]] Json write_layout(const workloads::Parallelism& layout);
[[nodiscard]] Json write_train(const sim::Scenario& scenario);
[[nodiscard]] Json write_stages(const std::vector<sim::RunStage>& stages);
[[nodiscard]] Json write_serve(const sim::Scenario& scenario);
[[nodiscard]] Json write_op(const workloads::Operator& op);
[[nodiscard]] Json write_price(const sim::PriceSpec& price);

}  // namespace jevons::reports
