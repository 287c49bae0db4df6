// Speculative decoding: tokens a verification step yields, and what it costs beside a plain step.
//
//   tokens per step = sum over i = 0..D of a_1 · … · a_i       (a_i: acceptance of position i)
//   step time       = verify(1 + D query tokens a sequence) + D drafts
// Acceptances beyond those given repeat the last one. The verify step comes from the operator graph
// with 1 + D query tokens: distinct experts grow with B (1 + D), compute grows 1 + D fold, KV
// traffic does not. Drafts: the model's MTP module chained, a draft model's own step, or nothing
// (n-gram). Speed-up is an outcome. Source: formulas of multi-token prediction; measured
// acceptance by position in InferenceX golden_al_distribution: a constant rate is 9-112 % too high
// at D = 8.
#pragma once

#include "jevons/sim/scenario.hpp"
#include "jevons/sim/step_time.hpp"

#include <memory>
#include <span>

namespace jevons::sim {

/// Mean tokens of a step, bonus token included. Monotone in D, at most 1 + D; D = 1: 1 + a.
[[nodiscard]] double tokens_per_step(std::span<const double> acceptance, long drafts);

/// Steps of one instance with or without speculation.
class DecodeEngine {
 public:
  DecodeEngine(const Scenario& scenario, StepLayout layout);
  /// Tokens a sequence gains per step.
  [[nodiscard]] double gain() const { return gain_; }
  /// One step, drafts included.
  [[nodiscard]] StepWork step(const StepBatch& batch);
  /// `steps` decode steps from mean context `context`, each adding gain() tokens a sequence.
  [[nodiscard]] StepWork run(double sequences, double context, long steps);
  [[nodiscard]] const StepModel& model() const { return model_; }
  [[nodiscard]] StepModel& model() { return model_; }

 private:
  [[nodiscard]] StepWork draft(double sequences, double context);
  StepModel model_;
  std::unique_ptr<Scenario> draft_scenario_;  ///< the draft model in place of the model
  std::unique_ptr<StepModel> draft_model_;
  bool mtp_ = false;
  double drafts_ = 0, gain_ = 1;
};

}  // namespace jevons::sim
