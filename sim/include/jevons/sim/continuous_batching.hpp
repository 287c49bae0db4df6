// One serving engine played step by step: continuous batching at event level.
//
// A step serves every decoding sequence and, within the token budget, chunks of waiting prompts in
// order of arrival. Identical decode steps between two scheduling events (an arrival, a completion,
// a full cache) are one jump: their time is summed in closed form over the cells of the step model,
// in which it is linear in context. A prompt is let in when a sequence slot and cache for prompt
// and first token are free; when decoding outgrows the cache the sequence that joined last is
// preempted and its tokens are computed again. A request's first token comes with the step that
// ends its prompt. Costs are injected, so that tests can play with any.
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

struct BatchingLimits {
  double sequences = 256;
  double step_tokens = 8192;
  double cache_tokens = 0;  ///< 0: no limit
  bool chunked_prefill = true;
  double tokens_per_step = 1;  ///< a sequence gains in one step (speculation)
  double query_tokens = 1;     ///< of the step budget a decoding sequence takes
  bool jump = true;            ///< false: one step at a time (test)
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
  ContinuousBatching(std::span<const Request> requests, BatchingLimits limits, StepCosts costs);

  /// Request `index` arrives at `at_s`; calls must be in order of time.
  void arrive(std::size_t index, double at_s);
  /// No work waits or runs.
  [[nodiscard]] bool idle() const;
  /// Plays the next step, or jump, not past `horizon_s` unless a step is under way. Returns the
  /// requests completed in it; idle engines move to their next arrival first.
  std::span<const std::size_t> advance(double horizon_s);
  [[nodiscard]] double now() const { return now_; }
  /// When the next thing can happen.
  [[nodiscard]] double next_s() const;

  [[nodiscard]] const std::vector<Served>& served() const { return served_; }
  /// Gaps between the tokens of a sequence; those of a jump count with their mean.
  [[nodiscard]] const std::vector<Weighted>& gaps() const { return gaps_; }
  [[nodiscard]] const StepWork& work() const { return work_; }
  [[nodiscard]] double decode_sequence_seconds() const { return sequence_seconds_; }
  [[nodiscard]] double busy_s() const { return work_.time_s; }
  [[nodiscard]] double peak_cache_tokens() const { return peak_cache_; }
  [[nodiscard]] double tokens_out() const { return tokens_out_; }
  [[nodiscard]] double prompt_tokens() const { return prompt_tokens_; }
  [[nodiscard]] double preemptions() const { return preemptions_; }

 private:
  struct State {
    double prompt = 0;      ///< tokens to have in the cache before decoding
    double done = 0;        ///< of those computed or cached
    double left = 0;        ///< output tokens still to come
    long finish_step = -1;  ///< of the step counter; -1: not decoding
    long joined_step = 0;
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

  void take_arrivals();
  [[nodiscard]] Chunk schedule_prompts();
  void mixed_step(const Chunk& chunk);
  void decode_jump(double horizon_s);
  [[nodiscard]] long steps_until(double limit_s, long most);
  void finish_decoding();
  void finish_prompts();
  void preempt_last();
  void count_gaps(double time_s, long steps);
  [[nodiscard]] bool admit(std::size_t index);
  void join(std::size_t index);
  void complete(std::size_t index);
  [[nodiscard]] double context_of(std::size_t index) const;

  std::span<const Request> requests_;
  BatchingLimits limits_;
  StepCosts costs_;
  std::vector<State> states_;
  std::vector<Served> served_;
  std::deque<std::pair<double, std::size_t>> arrivals_;
  std::deque<std::size_t> waiting_;     ///< not admitted
  std::deque<std::size_t> prefilling_;  ///< admitted, in order
  std::priority_queue<Finish, std::vector<Finish>, std::greater<>> finishing_;
  std::vector<std::size_t> joined_;  ///< decoding, in order of joining; stale entries are skipped
  std::vector<std::size_t> completed_;
  std::vector<Weighted> gaps_;
  double now_ = 0;
  long step_ = 0;
  double decoding_ = 0, contexts_ = 0;  ///< sequences and the sum of their keys
  double reserved_ = 0;                 ///< cache tokens of prompts being computed
  double peak_cache_ = 0, sequence_seconds_ = 0, tokens_out_ = 0, prompt_tokens_ = 0;
  double preemptions_ = 0;
  StepWork work_;
};

}  // namespace jevons::sim
