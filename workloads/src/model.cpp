#include "jevons/workloads/model.hpp"

#include "jevons/core/error.hpp"

namespace jevons::workloads {

std::vector<LayerRun> layer_runs(const ModelConfig& model) {
  std::vector<LayerRun> runs;
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    if (i > 0 && model.layers[i] == model.layers[i - 1]) {
      ++runs.back().count;
    } else {
      runs.push_back({static_cast<long>(i), 1});
    }
  }
  return runs;
}

const Layer& mtp_layer(const ModelConfig& model) {
  if (model.layers.empty()) {
    throw Error(ErrorKind::internal, model.id, "a model without layers has no MTP module");
  }
  return model.layers.back();
}

}  // namespace jevons::workloads
