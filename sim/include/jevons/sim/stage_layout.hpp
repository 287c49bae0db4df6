// Which part of the model each pipeline stage holds.
//
// ceil(L / stages) layers a stage; what is missing at the end is taken from the last stage (head,
// MTP), then from the first (embedding), then from the others, last first: the placement of
// DeepSeek-V3 (15 × 4 + 1 with MTP and head) and of Megatron layouts that count embedding and loss.
// Stacks with pipeline_balances_compute instead fill stage after stage, blocks in model order,
// until a stage's end passes its share of all matrix parameters, the head counted as a block like
// the layers (nanotron, models/base.py build_model): the head may get a stage of its own, and the
// stages behind it only wait.
#pragma once

#include "jevons/sim/scenario.hpp"

#include <vector>

namespace jevons::sim {

/// A model stage: chunk · pp + rank.
struct StageLayout {
  long first_layer = 0, layers = 0;
  bool embedding = false, head = false;
  long mtp_modules = 0;
};

/// pp · vpp of them; with fewer layers than stages the last ones only pass activations on.
[[nodiscard]] std::vector<StageLayout> stage_layout(const workloads::ModelConfig& model,
                                                    const workloads::Parallelism& parallelism,
                                                    bool mtp);
/// The same as the scenario's stack places them.
[[nodiscard]] std::vector<StageLayout> stage_layout(const Scenario& scenario);

/// Parameters of a stage that one rank holds before ZeRO: dense ones cut by tp, routed experts by
/// ep · etp.
struct StageParameters {
  double dense = 0, experts = 0;
  [[nodiscard]] double total() const { return dense + experts; }
};
[[nodiscard]] StageParameters stage_parameters(const workloads::ModelConfig& model,
                                               const workloads::Parallelism& parallelism,
                                               const StageLayout& stage);
/// One layer's share of the same.
[[nodiscard]] StageParameters layer_parameters(const workloads::ModelConfig& model,
                                               const workloads::Parallelism& parallelism,
                                               const workloads::Layer& layer);

/// Ranks over which sharded states are cut: dp · cp (or the sharding group), experts over their own
/// data-parallel group.
struct ShardGroups {
  double dense = 1, experts = 1;
};
[[nodiscard]] ShardGroups shard_groups(const workloads::Parallelism& parallelism);

}  // namespace jevons::sim
