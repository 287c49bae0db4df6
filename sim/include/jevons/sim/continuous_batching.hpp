// One serving engine played step by step: continuous batching at event level.
//
// A step serves every decoding sequence and, within the token budget, chunks of waiting prompts in
// order of arrival. Identical decode steps between two scheduling events (an arrival that can be
// let in, a completion, a full cache) are one jump: their time is summed in closed form over the
// cells of the step model, in which it is linear in context. A prompt is let in when a sequence
// slot and cache for prompt and first token are free; when decoding outgrows the cache the sequence
// that joined last is preempted and its tokens are computed again, or copied to the host and back
// while the engine waits. A request's first token comes
// with the step that ends its prompt. Without chunked prefill prompts run whole and alone: as many
// as the budget holds, or one that is longer than it, while decoding waits (the scheduling of
// engines before chunking: prompts first). Costs are injected, so that tests can play with any.
#pragma once

#include "jevons/sim/requests.hpp"
#include "jevons/sim/statistics.hpp"
#include "jevons/sim/step_time.hpp"

#include <deque>
#include <functional>
#include <queue>
#include <span>
#include <vector>

namespace jevons::sim {

/// What an engine does with a request: all of it, or its part in a disaggregated deployment.
enum class EngineRole { whole, prefill, decode };

/// Engines that hold prompts back so that fewer steps carry them. Nothing is held while nothing
/// decodes.
struct PromptHold {
  /// Up to so many steps, until the step that would serve them holds `share` of its token budget.
  /// Source: TensorRT-LLM, batch_wait_timeout_iters and batch_wait_max_tokens_ratio.
  long steps = 0;
  double share = 0;
  /// Attention data parallelism: until every rank has a prompt, or at the latest with every
  /// so-manieth step since prompts were last let in. Each rank has its part of the token budget.
  /// Source: TensorRT-LLM, attention_dp_config: enable_balance, timeout_iters.
  long balance_steps = 0;
  std::size_t ranks = 1;
};

struct BatchingLimits {
  double sequences = 256;
  double step_tokens = 8192;
  double cache_tokens = 0;       ///< 0: no limit
  double block_tokens = 1;       ///< the cache is handed out in blocks of so many
  double swap_tokens_per_s = 0;  ///< to the host and back; 0: preempted sequences are recomputed
  bool chunked_prefill = true;
  bool whole_prompts = false;  ///< chunked_prefill: prompts share steps, but are not cut
  PromptHold hold{};
  double tokens_per_step = 1;  ///< a sequence gains in one step (speculation)
  double query_tokens = 1;     ///< of the step budget a decoding sequence takes
  bool jump = true;            ///< false: one step at a time (test)
  EngineRole role = EngineRole::whole;
};

struct StepCosts {
  std::function<StepWork(const StepBatch&)> step;
  /// Steps of `sequences` whose mean context starts at `context` and grows a step at a time.
  std::function<StepWork(double sequences, double context, long steps)> run;
};

/// What became of a request.
struct Served {
  double arrival_s = 0, first_token_s = 0, done_s = 0;
  double preemptions = 0;
};

class ContinuousBatching {
 public:
  ContinuousBatching(BatchingLimits limits, StepCosts costs);

  /// A request arrives at `at_s`, not before now(); its number counts from 0. In the role of a
  /// decode engine its prompt's cache arrives, and its first token came out at `token_s`.
  std::size_t arrive(const Request& request, double at_s, double token_s = 0);
  /// When the step or jump under way ends, or an idle engine gets work; infinite without any.
  [[nodiscard]] double next_s();
  /// Plays to next_s(). Returns the requests completed then.
  std::span<const std::size_t> advance();
  [[nodiscard]] double now() const { return now_; }

  [[nodiscard]] const std::vector<Served>& served() const { return served_; }
  /// Gaps between the tokens of a sequence; those of a jump lie evenly around their mean.
  [[nodiscard]] const std::vector<Weighted>& gaps() const { return gaps_; }
  [[nodiscard]] const StepWork& work() const { return work_; }
  [[nodiscard]] double decode_sequence_seconds() const { return sequence_seconds_; }
  [[nodiscard]] double peak_cache_tokens() const { return peak_cache_; }
  /// Up to the last step or jump played.
  [[nodiscard]] double tokens_out() const { return tokens_out_; }
  [[nodiscard]] double prompt_tokens() const { return prompt_tokens_; }
  [[nodiscard]] double preemptions() const { return preemptions_; }
  /// Prompts longer than the step budget that ran whole, without chunking.
  [[nodiscard]] double oversized_prompts() const { return oversized_; }

 private:
  struct State {
    double prompt = 0;      ///< tokens to have in the cache before decoding
    double done = 0;        ///< of those computed or cached
    double left = 0;        ///< output tokens still to come
    double token_s = 0;     ///< of its last token, when it does not decode
    long finish_step = -1;  ///< of the step counter; -1: not decoding
    long joined_step = 0;
    std::size_t rank = 0;  ///< of attention data parallelism, where prompts are balanced
    bool swapped = false;  ///< its cache lies in host memory
  };
  struct Finish {
    long step;
    std::size_t index;
    bool operator>(const Finish& o) const {
      return step != o.step ? step > o.step : index > o.index;
    }
  };
  struct Chunk {
    double tokens = 0, sequences = 0, position = 0;
  };
  /// The step or jump under way.
  struct Plan {
    double end_s = 0;
    long steps = 0;  ///< of decoding; none while prompts run alone
    Chunk chunk{};
    StepWork work{};
  };

  void plan();
  void take_arrivals();
  [[nodiscard]] Chunk schedule_prompts();
  [[nodiscard]] Chunk chunks_within(double budget);
  [[nodiscard]] Chunk chunks_by_rank();
  [[nodiscard]] long steps_to_hold();
  [[nodiscard]] long steps_to_balance();
  [[nodiscard]] long steps_to_fill();
  [[nodiscard]] bool uncut() const { return !limits_.chunked_prefill || limits_.whole_prompts; }
  void place(std::size_t index);
  bool resume(std::size_t index);
  void admit(std::size_t index);
  double serve(std::size_t index, double budget, Chunk& chunk);
  [[nodiscard]] bool slot_free() const;
  [[nodiscard]] bool fits(std::size_t index) const;
  [[nodiscard]] bool arrivals_matter() const;
  void plan_decode(long most);
  [[nodiscard]] long most_steps();
  void cut_jump(double limit_s);
  void finish_decoding();
  void finish_prompts();
  void preempt_last();
  void preempt_overflow();
  void copy(double tokens);
  void stall();
  [[nodiscard]] double used() const;
  [[nodiscard]] double block_loss() const;
  void count_gaps(double time_s, long steps);
  void join(std::size_t index);
  void complete(std::size_t index);
  [[nodiscard]] double context_of(std::size_t index) const;

  BatchingLimits limits_;
  StepCosts costs_;
  std::vector<State> states_;
  std::vector<Served> served_;
  std::deque<std::pair<double, std::size_t>> arrivals_;  ///< still to come, in order of time
  std::deque<std::size_t> waiting_;                      ///< not admitted
  std::deque<std::size_t> prefilling_;                   ///< admitted, in order
  std::priority_queue<Finish, std::vector<Finish>, std::greater<>> finishing_;
  std::vector<std::size_t> joined_;  ///< decoding, in order of joining; stale entries are skipped
  std::vector<std::size_t> completed_;
  std::vector<Weighted> gaps_;
  std::vector<Weighted> late_;  ///< decoding sequences that waited for their step, since when
  Plan plan_;
  bool planned_ = false;
  double now_ = 0;
  long step_ = 0;
  double decoding_ = 0, contexts_ = 0;  ///< sequences and the sum of their keys
  double reserved_ = 0;                 ///< cache tokens of prompts being computed
  double peak_cache_ = 0, sequence_seconds_ = 0, tokens_out_ = 0, prompt_tokens_ = 0;
  double preemptions_ = 0, oversized_ = 0;
  double copying_s_ = 0;  ///< of swapped caches, before the next step
  bool holding_ = false;  ///< prompts back in the step or jump under way
  long held_steps_ = 0;   ///< without prompts since some were let in (fill: since some wait)
  std::vector<double> rank_load_, rank_decoding_;  ///< requests; where prompts are balanced
  StepWork work_;
};

}  // namespace jevons::sim
