#include "jevons/sim/speculation.hpp"

#include <algorithm>

namespace jevons::sim {
namespace {

StepLayout verifying(const Scenario& scenario, StepLayout layout) {
  if (scenario.serve.speculation) {
    layout.query_tokens = 1.0 + static_cast<double>(scenario.serve.speculation->tokens);
  }
  return layout;
}

}  // namespace

double tokens_per_step(std::span<const double> acceptance, long drafts) {
  double sum = 1, product = 1;
  for (long i = 0; i < drafts && !acceptance.empty(); ++i) {
    product *= acceptance[std::min(static_cast<std::size_t>(i), acceptance.size() - 1)];
    sum += product;
  }
  return sum;
}

DecodeEngine::DecodeEngine(const Scenario& scenario, StepLayout layout)
    : model_(scenario, verifying(scenario, layout)) {
  const std::optional<Speculation>& s = scenario.serve.speculation;
  if (!s) return;
  gain_ = tokens_per_step(s->acceptance, s->tokens);
  drafts_ = static_cast<double>(s->tokens);
  mtp_ = s->method == Speculation::Method::mtp;
  if (s->method == Speculation::Method::draft && s->draft_model) {
    draft_scenario_ = std::make_unique<Scenario>(scenario);
    draft_scenario_->model = *s->draft_model;
    layout.redundant_experts = 0;
    draft_model_ = std::make_unique<StepModel>(*draft_scenario_, layout);
  }
}

StepWork DecodeEngine::draft(double sequences, double context) {
  if (draft_model_) return draft_model_->step({.sequences = sequences, .context = context});
  if (mtp_) return model_.mtp_draft(sequences, context);
  return {};
}

StepWork DecodeEngine::step(const StepBatch& batch) {
  StepWork work = model_.step(batch);
  if (drafts_ > 0 && batch.sequences > 0) work += draft(batch.sequences, batch.context) * drafts_;
  return work;
}

StepWork DecodeEngine::run(double sequences, double context, long steps) {
  // The step is linear in context between grid points: the mean of the first and last step of each
  // cell times their number.
  StepWork sum;
  double c = context;
  for (long left = steps; left > 0;) {
    const double room = (StepModel::next_grid_context(c) - c) / gain_;
    const long count = std::clamp(static_cast<long>(room) + 1, 1L, left);
    StepWork ends = step({.sequences = sequences, .context = c});
    if (count > 1) {
      ends += step({.sequences = sequences, .context = c + gain_ * static_cast<double>(count - 1)});
    } else {
      ends = ends * 2.0;
    }
    sum += ends * (static_cast<double>(count) / 2);
    c += gain_ * static_cast<double>(count);
    left -= count;
  }
  return sum;
}

}  // namespace jevons::sim
