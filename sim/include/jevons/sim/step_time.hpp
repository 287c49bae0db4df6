// Time and work of one step of a serving engine: decoding sequences, prompt chunks, or both.
//
//   T = D(X) + A(b, C) + P(chunk, n, prefix) + H(rows) + l L + l_moe L_moe + host + s b
// D everything that sees the sum X of the step's tokens (projections, experts, exchange, norms),
// A the attention of the decoding sequences (b per rank, mean context C), P that of the prompt
// chunks, H the output head: operators of workloads::layer_decode costed by OperatorModel with
// cold weights. l, l_moe, host, s: constants of the stack (small kernels between the weighed ones,
// scheduler); a step with prompts is not captured and takes at least as long as the host needs to
// launch its kernels one by one. Attention data parallelism gives each rank X / ranks tokens;
// experts see all of them. With pp the batch is cut into pp micro-batches: T(X / pp) through all
// stages is the time per token. Two-batch overlap (stack ep_overlap a > 0): C and E of two half
// batches, max + (1 - a) min, taken when it is shorter. Speculation: q = 1 + drafts query tokens a
// sequence, plus the draft's time.
//
// D, A, P, H are memoised on grids (integers to 16, then eighth-octaves of tokens, quarter-octaves
// of context and chunk) and interpolated linearly; exact() does not interpolate. Interpolation
// error: median 1 %, at most some 10 % at the steps of GEMM tiles (test).
#pragma once

#include "jevons/sim/operator_cost.hpp"
#include "jevons/sim/power.hpp"
#include "jevons/sim/result.hpp"
#include "jevons/sim/scenario.hpp"
#include "jevons/workloads/graph.hpp"

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace jevons::sim {

/// One step of one instance.
struct StepBatch {
  double sequences = 0;          ///< decoding
  double context = 0;            ///< their mean keys
  double prefill_tokens = 0;     ///< prompt tokens computed in this step
  double prefill_sequences = 0;  ///< prompts they belong to
  double prefill_position = 0;   ///< mean position of those tokens
};

/// Per accelerator.
struct StepWork {
  double time_s = 0;
  double exchange_s = 0;  ///< expert dispatch and combine within it, before overlap
  double experts_s = 0;   ///< routed experts within it
  double overhead_s = 0;  ///< the stack's constants within it: small kernels, host, sequences
  double flops = 0;       ///< routed experts left out
  double wide_flops = 0;  ///< of these in 16 bits: attention, dense layers of 4-bit checkpoints
  double weight_bytes = 0, kv_bytes = 0;
  /// What the tiles of the routed experts do (power model): FLOPs with their empty rows, and the
  /// weight bytes that each tile of rows reads anew, from cache or not.
  double tile_flops = 0, tile_bytes = 0;
  double launches = 0;  ///< of kernels, where none is captured
  StepWork& operator+=(const StepWork& o);
  friend StepWork operator*(const StepWork& w, double s);
};

/// What a chip does that gets through `work` in `seconds`.
[[nodiscard]] Activity activity_of(const StepWork& work, double seconds,
                                   const Precision& precision);

struct StepLayout {
  workloads::Parallelism parallelism;
  bool attention_dp = false;
  double redundant_experts = 0;
  double load_max_over_mean = 0;  ///< 0: from the routing model
  double query_tokens = 1;        ///< per decoding sequence: 1 + drafts
};

class EngineExperts;

class StepModel {
 public:
  /// Keeps references to the scenario's model, cluster and stack.
  StepModel(const Scenario& scenario, const StepLayout& layout);
  ~StepModel();
  StepModel(const StepModel&) = delete;
  StepModel& operator=(const StepModel&) = delete;

  /// Memoised and interpolated.
  [[nodiscard]] StepWork step(const StepBatch& batch);
  [[nodiscard]] double time(const StepBatch& batch) { return step(batch).time_s; }
  /// Every operator at its own shape.
  [[nodiscard]] StepWork exact(const StepBatch& batch) const;
  /// The operators behind exact(), with calls per step on one accelerator; `phase` names the step.
  [[nodiscard]] std::vector<OperatorRow> operators(const StepBatch& batch, std::string_view phase);

  /// The next context at which step() changes slope in context.
  [[nodiscard]] static double next_grid_context(double context);

  /// Ranks that hold sequences of their own.
  [[nodiscard]] double data_ranks() const { return data_ranks_; }
  /// Bytes of weights on one accelerator, redundant experts included.
  [[nodiscard]] Bytes weights() const { return weights_; }
  /// One draft token of the model's own MTP module for `sequences` (projection, layer, head).
  [[nodiscard]] StepWork mtp_draft(double sequences, double context);

 private:
  enum class Part : std::uint8_t {
    decode_tokens,
    mixed_tokens,
    decode_core,
    chunk_core,
    head,
    mtp_module
  };
  [[nodiscard]] StepWork evaluate(Part part, double a, double b, double c) const;
  [[nodiscard]] StepWork layers(const workloads::DecodeContext& context, bool core) const;
  [[nodiscard]] StepWork whole(std::initializer_list<workloads::OperatorGraph> graphs) const;
  void add(StepWork& sum, const workloads::Operator& op, double count) const;
  static void add_tiles(StepWork& sum, const workloads::MoeExperts& experts,
                        const workloads::Operator& op, double hit, double count);
  [[nodiscard]] const StepWork& at(Part part, int i, int j, int k);
  [[nodiscard]] StepWork interpolate(Part part, double a, double b, double c);
  template <class Lookup>
  [[nodiscard]] StepWork combine(const StepBatch& batch, const Lookup& part) const;
  template <class Lookup>
  [[nodiscard]] StepWork parts(const StepBatch& batch, const Lookup& part) const;
  void convert_to_wide(workloads::Operator& op) const;
  [[nodiscard]] workloads::DecodeContext base(double total_tokens) const;
  void set_weights();
  [[nodiscard]] double transfer_time(double tokens) const;

  const workloads::ModelConfig& model_;
  const hwmodels::Stack& stack_;
  const hwmodels::Cluster& cluster_;
  Precision precision_;
  StepLayout layout_;
  OperatorModel costs_;
  std::unique_ptr<EngineExperts> experts_;
  std::vector<std::pair<const workloads::Layer*, double>> kinds_;  ///< with how many of each
  double layers_ = 0, moe_layers_ = 0, data_ranks_ = 1;
  double overlap_ = 0;
  bool wide_dense_ = false;  ///< 4-bit MoE checkpoints keep everything but the experts in 16 bit
  Bytes weights_{0};
  std::unordered_map<std::uint64_t, StepWork> memo_;
  std::vector<OperatorRow>* rows_ = nullptr;  ///< where add() notes what it costs, if anybody asks
};

}  // namespace jevons::sim
