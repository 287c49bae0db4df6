// Prefill and decode pools at event level: every instance of both is an engine of its own.
//
// A request goes to the prefill instance with the fewest prompt tokens outstanding, in whose steps
// only prompts run; the step that ends its prompt gives its first token. Its whole cache, prefix
// hits included, then crosses to the decode instance with the fewest sequences (those on the way
// counted), where it waits for a slot and room in the cache. A prefill instance has one channel for
// each of its data-parallel groups; a cache takes the first that is free, in order of completion.
// So the crossing lies between the first and the second token. What a decode instance preempts it
// computes again, or swaps, itself.
// Left out: transfer by layer while the prompt still runs, queues at the receiver's links, and the
// room a waiting cache holds on the sender.
#pragma once

#include "jevons/sim/continuous_batching.hpp"

#include <cstddef>
#include <deque>
#include <functional>
#include <queue>
#include <span>
#include <utility>
#include <vector>

namespace jevons::sim {

struct EnginePool {
  std::size_t instances = 1;
  BatchingLimits limits;
  StepCosts costs;
};

struct CacheLink {
  double s_per_token = 0;    ///< of one channel
  std::size_t channels = 1;  ///< per prefill instance
};

class Disaggregated {
 public:
  Disaggregated(const EnginePool& prefill, const EnginePool& decode, CacheLink link);

  // As of ContinuousBatching. Calls of arrive() must be in order of time.
  std::size_t arrive(const Request& request, double at_s);
  [[nodiscard]] double next_s() const;
  std::span<const std::size_t> advance();
  [[nodiscard]] double now() const { return now_; }
  [[nodiscard]] const std::vector<Served>& served() const { return served_; }

  // Sums over the instances of a pool.
  [[nodiscard]] StepWork prefill_work() const;
  [[nodiscard]] StepWork decode_work() const;
  [[nodiscard]] double prompt_tokens() const;  ///< computed in the prefill pool
  [[nodiscard]] double tokens_out() const;
  [[nodiscard]] double decode_sequence_seconds() const;
  [[nodiscard]] double preemptions() const;
  [[nodiscard]] double oversized_prompts() const;
  [[nodiscard]] std::vector<Weighted> gaps() const;
  [[nodiscard]] const std::vector<double>& transfers() const { return transfers_; }

 private:
  struct Member {
    ContinuousBatching engine;
    std::vector<std::size_t> requests{};  ///< of each of the engine's: its number here
    double load = 0;                      ///< outstanding tokens, or sequences
    double next_s = 0;
  };
  using Pool = std::vector<Member>;
  using Channels = std::priority_queue<double, std::vector<double>, std::greater<>>;

  static Pool members(const EnginePool& pool, EngineRole role);
  static std::size_t first_event(const Pool& pool);
  static std::size_t least_loaded(const Pool& pool);
  void send(Member& to, std::size_t index, double at_s, double token_s);
  void refresh();
  void dispatch();
  void advance_prefill(std::size_t instance);
  void advance_decode(std::size_t instance);
  void hand_over(std::size_t instance, std::size_t index);
  void complete(std::size_t index);

  Pool prefill_, decode_;
  CacheLink link_;
  std::vector<Channels> free_at_;  ///< of each prefill instance's channels
  std::vector<Request> requests_;
  std::vector<Served> served_;
  std::deque<std::size_t> arrivals_;  ///< still to come
  std::vector<std::size_t> completed_;
  std::vector<Member*> touched_;   ///< whose next event may have changed
  std::vector<double> transfers_;  ///< seconds from first token to arrival, queue included
  double now_ = 0, first_tokens_ = 0;
};

}  // namespace jevons::sim
