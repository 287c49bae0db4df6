#include "jevons/sim/stage_layout.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>

namespace jevons::sim {
namespace {

/// Layers of every stage, in model order.
std::vector<long> spread_layers(long layers, long stages) {
  if (layers < stages - 2) {  // one each after the embedding; the rest only passes on
    std::vector<long> sparse(static_cast<std::size_t>(stages), 0);
    for (long i = 1; i <= layers; ++i) sparse[static_cast<std::size_t>(i)] = 1;
    return sparse;
  }
  const long most = (layers + stages - 1) / stages;
  std::vector<long> counts(static_cast<std::size_t>(stages), most);
  long missing = most * stages - layers;
  const auto take = [&missing](long& count, long limit) {
    const long taken = std::min({missing, count, limit});
    count -= taken;
    missing -= taken;
  };
  take(counts.back(), most);
  take(counts.front(), most);
  while (missing > 0) {
    const long before = missing;
    for (std::size_t i = counts.size(); i-- > 0 && missing > 0;) {
      if (counts[i] > 1 || i + 1 == counts.size()) take(counts[i], 1);
    }
    if (missing == before) break;
  }
  return counts;
}

/// Blocks one after the other; a stage is full when the blocks so far exceed its share of the cost.
std::vector<StageLayout> balanced_layout(const workloads::ModelConfig& model, long stages) {
  const double head = static_cast<double>(model.hidden) * static_cast<double>(model.vocab);
  std::vector<double> costs;
  double all = head;
  for (const workloads::Layer& layer : model.layers) {
    costs.push_back(layer_parameters(model, {}, layer).total());
    all += costs.back();
  }
  std::vector<StageLayout> out(static_cast<std::size_t>(stages));
  std::size_t stage = 0;
  double done = 0;
  for (std::size_t i = 0; i < costs.size(); ++i) {
    if (out[stage].layers == 0) out[stage].first_layer = static_cast<long>(i);
    ++out[stage].layers;
    done += costs[i];
    const double share = static_cast<double>(stage + 1) / static_cast<double>(stages);
    if (done > all * share && stage + 1 < out.size()) ++stage;
  }
  out.front().embedding = true;
  out[stage].head = true;
  for (std::size_t i = stage + 1; i < out.size(); ++i) out[i].first_layer = out[stage].first_layer;
  return out;
}

}  // namespace

std::vector<StageLayout> stage_layout(const Scenario& scenario) {
  const workloads::Parallelism& par = scenario.parallelism;
  const bool chunks = par.vpp > 1 || (scenario.train.mtp && scenario.model.mtp_modules > 0);
  if (par.pp < 2 || chunks || !scenario.stack.flag("pipeline_balances_compute")) {
    return stage_layout(scenario.model, par, scenario.train.mtp);
  }
  return balanced_layout(scenario.model, par.pp);
}

std::vector<StageLayout> stage_layout(const workloads::ModelConfig& model,
                                      const workloads::Parallelism& parallelism, bool mtp) {
  const long stages = parallelism.pp * parallelism.vpp;
  const long layers = static_cast<long>(model.layers.size());
  if (layers < 1) throw bad_input("/model", "a model without layers cannot be trained");
  std::vector<StageLayout> out(static_cast<std::size_t>(stages));
  const std::vector<long> counts = spread_layers(layers, stages);
  long next = 0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i].first_layer = next;
    out[i].layers = counts[i];
    next += counts[i];
  }
  out.front().embedding = true;
  out.back().head = true;
  if (mtp) out.back().mtp_modules = model.mtp_modules;
  return out;
}

StageParameters layer_parameters(const workloads::ModelConfig& model,
                                 const workloads::Parallelism& parallelism,
                                 const workloads::Layer& layer) {
  const double tp = static_cast<double>(parallelism.tp);
  const double width = static_cast<double>(model.hidden);
  StageParameters p;
  p.dense = workloads::attention_parameters(model, layer.attention) / tp;
  const workloads::FeedForward& ffn = layer.ffn;
  if (ffn.kind == workloads::FfnKind::dense) {
    p.dense += workloads::ffn_parameters(model, ffn) / tp;
  } else if (ffn.kind == workloads::FfnKind::moe) {
    const double all = workloads::ffn_parameters(model, ffn);
    const double router = workloads::router_parameters(model, ffn);
    const double shared = (ffn.gated ? 3.0 : 2.0) * width *
                          static_cast<double>(ffn.shared_experts * ffn.shared_intermediate);
    p.dense += router + shared / tp;
    p.experts += (all - router - shared) / static_cast<double>(parallelism.ep * parallelism.etp);
  }
  if (model.biases) {
    p.dense += (9 * width + static_cast<double>(ffn.intermediate)) / tp;
  }
  return p;
}

StageParameters stage_parameters(const workloads::ModelConfig& model,
                                 const workloads::Parallelism& parallelism,
                                 const StageLayout& stage) {
  StageParameters sum;
  const auto add = [&sum](const StageParameters& p) {
    sum.dense += p.dense;
    sum.experts += p.experts;
  };
  for (long i = 0; i < stage.layers; ++i) {
    add(layer_parameters(model, parallelism,
                         model.layers[static_cast<std::size_t>(stage.first_layer + i)]));
  }
  const double width = static_cast<double>(model.hidden);
  const double table =
      width * static_cast<double>(model.vocab) / static_cast<double>(parallelism.tp);
  for (long i = 0; i < stage.mtp_modules; ++i) {
    add(layer_parameters(model, parallelism, workloads::mtp_layer(model)));
    sum.dense += 2 * width * width / static_cast<double>(parallelism.tp);
  }
  if (stage.embedding) {
    sum.dense += table + width * static_cast<double>(model.learned_positions);
  }
  // A tied head is a copy on the last stage, unless that is the first one too.
  if (stage.head && !(model.tied_embeddings && stage.embedding)) sum.dense += table;
  // The MTP module embeds tokens again where the embedding is not at hand.
  if (stage.mtp_modules > 0 && !stage.embedding) sum.dense += table;
  return sum;
}

ShardGroups shard_groups(const workloads::Parallelism& parallelism) {
  const double all = static_cast<double>(parallelism.dp * parallelism.cp);
  const double group =
      parallelism.sharding_group > 0 ? static_cast<double>(parallelism.sharding_group) : all;
  const double experts = static_cast<double>(parallelism.expert_dp());
  return {std::max(1.0, std::min(all, group)), std::max(1.0, std::min(experts, group))};
}

}  // namespace jevons::sim
