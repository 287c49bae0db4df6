#include "jevons/sim/continuous_batching.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace jevons::sim {

ContinuousBatching::ContinuousBatching(std::span<const Request> requests, BatchingLimits limits,
                                       StepCosts costs)
    : requests_(requests),
      limits_(limits),
      costs_(std::move(costs)),
      states_(requests.size()),
      served_(requests.size()) {}

void ContinuousBatching::arrive(std::size_t index, double at_s) {
  served_[index].arrival_s = at_s;
  arrivals_.emplace_back(at_s, index);
}

bool ContinuousBatching::idle() const {
  return arrivals_.empty() && waiting_.empty() && prefilling_.empty() && decoding_ < 0.5;
}

double ContinuousBatching::next_s() const {
  if (!waiting_.empty() || !prefilling_.empty() || decoding_ > 0.5) return now_;
  return arrivals_.empty() ? std::numeric_limits<double>::infinity()
                           : std::max(now_, arrivals_.front().first);
}

void ContinuousBatching::take_arrivals() {
  while (!arrivals_.empty() && arrivals_.front().first <= now_) {
    const std::size_t i = arrivals_.front().second;
    arrivals_.pop_front();
    states_[i] = {
        .prompt = requests_[i].input, .done = requests_[i].cached, .left = requests_[i].output};
    waiting_.push_back(i);
  }
}

std::span<const std::size_t> ContinuousBatching::advance(double horizon_s) {
  completed_.clear();
  now_ = std::max(now_, next_s());
  take_arrivals();
  const Chunk chunk = schedule_prompts();
  if (chunk.tokens > 0) {
    mixed_step(chunk);
  } else if (decoding_ > 0.5) {
    decode_jump(horizon_s);
  }
  return completed_;
}

/// A slot, and cache for the whole prompt and one token.
bool ContinuousBatching::admit(std::size_t index) {
  const double active = decoding_ + static_cast<double>(prefilling_.size());
  if (active + 1 > limits_.sequences) return false;
  const double need = states_[index].prompt + limits_.tokens_per_step;
  if (limits_.cache_tokens > 0 && active > 0 &&
      contexts_ + reserved_ + need + decoding_ * limits_.tokens_per_step > limits_.cache_tokens) {
    return false;
  }
  reserved_ += states_[index].prompt;
  prefilling_.push_back(index);
  return true;
}

ContinuousBatching::Chunk ContinuousBatching::schedule_prompts() {
  double budget = limits_.step_tokens - decoding_ * limits_.query_tokens;
  Chunk chunk;
  double weighted = 0;
  for (std::size_t k = 0; budget >= 1; ++k) {
    if (k == prefilling_.size()) {
      if (waiting_.empty() || !admit(waiting_.front())) break;
      waiting_.pop_front();
    }
    State& s = states_[prefilling_[k]];
    const double rest = s.prompt - s.done;
    double take = std::min(rest, budget);
    if (!limits_.chunked_prefill && take < rest) {
      if (k > 0) break;
      take = rest;  // longer than the budget: alone in its step
    }
    weighted += take * (s.done + take / 2);
    s.done += take;
    budget -= take;
    chunk.tokens += take;
    chunk.sequences += 1;
  }
  if (chunk.tokens > 0) chunk.position = weighted / chunk.tokens;
  peak_cache_ = std::max(peak_cache_, contexts_ + reserved_);
  return chunk;
}

void ContinuousBatching::count_gaps(double time_s, long steps) {
  sequence_seconds_ += decoding_ * time_s;
  if (decoding_ > 0.5) {
    const auto n = static_cast<double>(steps);
    gaps_.push_back({time_s / n, decoding_ * n});
  }
}

void ContinuousBatching::mixed_step(const Chunk& chunk) {
  const StepWork step = costs_.step({.sequences = decoding_,
                                     .context = decoding_ > 0.5 ? contexts_ / decoding_ : 0.0,
                                     .prefill_tokens = chunk.tokens,
                                     .prefill_sequences = chunk.sequences,
                                     .prefill_position = chunk.position});
  work_ += step;
  now_ += step.time_s;
  prompt_tokens_ += chunk.tokens;
  count_gaps(step.time_s, 1);
  contexts_ += decoding_ * limits_.tokens_per_step;
  ++step_;
  finish_decoding();
  finish_prompts();
  while (limits_.cache_tokens > 0 && decoding_ > 1.5 &&
         contexts_ + reserved_ + decoding_ * limits_.tokens_per_step > limits_.cache_tokens) {
    preempt_last();
  }
}

/// The least number of decode steps that reach `limit_s`, at most `most`.
long ContinuousBatching::steps_until(double limit_s, long most) {
  const double context = contexts_ / decoding_;
  const auto reaches = [&](long steps) {
    return now_ + costs_.run(decoding_, context, steps).time_s >= limit_s;
  };
  if (!reaches(most)) return most;
  long low = 0, high = 1;  // low does not reach
  while (high < most && !reaches(high)) {
    low = high;
    high = std::min(most, 2 * high);
  }
  while (high - low > 1) {
    const long middle = low + (high - low) / 2;
    (reaches(middle) ? high : low) = middle;
  }
  return high;
}

void ContinuousBatching::decode_jump(double horizon_s) {
  const double gain = limits_.tokens_per_step;
  if (limits_.cache_tokens > 0) {
    while (decoding_ > 1.5 && contexts_ + reserved_ + decoding_ * gain > limits_.cache_tokens) {
      preempt_last();
    }
  }
  // Preempted sequences leave stale entries behind.
  while (!finishing_.empty() &&
         states_[finishing_.top().index].finish_step != finishing_.top().step) {
    finishing_.pop();
  }
  long steps = std::max(1L, finishing_.top().step - step_);
  if (!limits_.jump) steps = 1;
  if (limits_.cache_tokens > 0) {
    const double room = (limits_.cache_tokens - contexts_ - reserved_) / (decoding_ * gain);
    steps = std::clamp(static_cast<long>(std::min(room, 1e15)), 1L, steps);
  }
  double limit = horizon_s;
  if (!arrivals_.empty()) limit = std::min(limit, arrivals_.front().first);
  if (std::isfinite(limit) && steps > 1) steps = steps_until(limit, steps);
  const StepWork run = costs_.run(decoding_, contexts_ / decoding_, steps);
  work_ += run;
  now_ += run.time_s;
  count_gaps(run.time_s, steps);
  contexts_ += decoding_ * gain * static_cast<double>(steps);
  step_ += steps;
  peak_cache_ = std::max(peak_cache_, contexts_ + reserved_);
  finish_decoding();
}

double ContinuousBatching::context_of(std::size_t index) const {
  const State& s = states_[index];
  return s.prompt + static_cast<double>(step_ - s.joined_step) * limits_.tokens_per_step;
}

void ContinuousBatching::complete(std::size_t index) {
  served_[index].done_s = now_;
  completed_.push_back(index);
}

void ContinuousBatching::finish_decoding() {
  while (!finishing_.empty() && finishing_.top().step <= step_) {
    const Finish f = finishing_.top();
    finishing_.pop();
    if (states_[f.index].finish_step != f.step) continue;
    contexts_ -= context_of(f.index);
    decoding_ -= 1;
    tokens_out_ += states_[f.index].left;
    states_[f.index].finish_step = -1;
    complete(f.index);
  }
  if (decoding_ < 0.5) {
    decoding_ = contexts_ = 0;
    joined_.clear();
  }
}

void ContinuousBatching::join(std::size_t index) {
  State& s = states_[index];
  const long steps =
      std::max(1L, static_cast<long>(std::ceil(s.left / limits_.tokens_per_step - 1e-9)));
  s.joined_step = step_;
  s.finish_step = step_ + steps;
  finishing_.push({s.finish_step, index});
  joined_.push_back(index);
  decoding_ += 1;
  contexts_ += s.prompt;
}

void ContinuousBatching::finish_prompts() {
  // Prompts are served in order: those that are done are at the front.
  while (!prefilling_.empty()) {
    const std::size_t i = prefilling_.front();
    State& s = states_[i];
    if (s.done < s.prompt) break;
    prefilling_.pop_front();
    reserved_ -= s.prompt;
    if (served_[i].preemptions < 0.5) served_[i].first_token_s = now_;
    s.left -= 1;
    tokens_out_ += 1;
    if (s.left < 0.5) {
      complete(i);
    } else {
      join(i);
    }
  }
}

void ContinuousBatching::preempt_last() {
  while (!joined_.empty() && states_[joined_.back()].finish_step < 0) joined_.pop_back();
  if (joined_.empty()) throw Error(ErrorKind::internal, "", "no sequence is left to preempt");
  const std::size_t i = joined_.back();
  joined_.pop_back();
  State& s = states_[i];
  const double context = context_of(i);
  const double gained = std::min(context - s.prompt, s.left - 1);
  contexts_ -= context;
  decoding_ -= 1;
  tokens_out_ += gained;
  s.left -= gained;
  // All its tokens become a prompt; the token that ends it is the next one.
  s.prompt += gained;
  s.done = 0;
  s.finish_step = -1;
  served_[i].preemptions += 1;
  preemptions_ += 1;
  waiting_.push_front(i);
}

}  // namespace jevons::sim
