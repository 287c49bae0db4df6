#include "jevons/sim/continuous_batching.hpp"

#include "jevons/core/error.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace jevons::sim {

ContinuousBatching::ContinuousBatching(BatchingLimits limits, StepCosts costs)
    : limits_(limits),
      costs_(std::move(costs)),
      rank_load_(limits.hold.ranks),
      rank_decoding_(limits.hold.ranks) {}

std::size_t ContinuousBatching::arrive(const Request& request, double at_s, double token_s) {
  const std::size_t index = states_.size();
  State s{.prompt = request.input, .done = request.cached, .left = request.output};
  if (limits_.role == EngineRole::prefill) s.left = 1;
  if (limits_.role == EngineRole::decode) {
    s.done = s.prompt;
    s.left -= 1;
    s.token_s = token_s;
  }
  states_.push_back(s);
  served_.push_back({.arrival_s = at_s});
  // Transfers of several links may end in another order than they were announced.
  const std::pair<double, std::size_t> arrival{at_s, index};
  arrivals_.insert(std::upper_bound(arrivals_.begin(), arrivals_.end(), arrival), arrival);
  if (planned_ && plan_.steps > 1 && at_s < plan_.end_s && arrivals_matter()) cut_jump(at_s);
  return index;
}

/// A plan is made as late as possible: whatever arrives at this very moment is part of it.
double ContinuousBatching::next_s() {
  if (!planned_) plan();
  if (planned_) return plan_.end_s;
  return arrivals_.empty() ? std::numeric_limits<double>::infinity() : arrivals_.front().first;
}

void ContinuousBatching::take_arrivals() {
  while (!arrivals_.empty() && arrivals_.front().first <= now_) {
    place(arrivals_.front().second);
    waiting_.push_back(arrivals_.front().second);
    arrivals_.pop_front();
  }
}

/// On the rank with the fewest requests.
void ContinuousBatching::place(std::size_t index) {
  const auto least = std::min_element(rank_load_.begin(), rank_load_.end());
  *least += 1;
  states_[index].rank = static_cast<std::size_t>(least - rank_load_.begin());
}

/// Steps for which the prompts that wait are held back; zero: they may go.
long ContinuousBatching::steps_to_hold() {
  if (waiting_.empty() || decoding_ < 0.5 || !prefilling_.empty()) return 0;
  if (!slot_free()) return 0;
  const State& first = states_[waiting_.front()];
  // It was let in before, or its cache came from a prefill engine: no prompt to hold back.
  if (served_[waiting_.front()].preemptions > 0.5 || first.done >= first.prompt) return 0;
  if (limits_.hold.balance_steps > 0) return steps_to_balance();
  return limits_.hold.steps > 0 ? steps_to_fill() : 0;
}

long ContinuousBatching::steps_to_balance() {
  const auto idle = [](double sequences) { return sequences < 0.5; };
  if (std::any_of(rank_decoding_.begin(), rank_decoding_.end(), idle)) return 0;
  std::vector<bool> has(rank_load_.size());
  for (const std::size_t index : waiting_) has[states_[index].rank] = true;
  if (std::find(has.begin(), has.end(), false) == has.end()) return 0;
  return std::max(0L, limits_.hold.balance_steps - 1 - held_steps_);
}

long ContinuousBatching::steps_to_fill() {
  double tokens = decoding_ * limits_.query_tokens;
  for (const std::size_t index : waiting_) {
    const double rest = states_[index].prompt - states_[index].done;
    if (tokens + rest > limits_.step_tokens) break;
    tokens += rest;
    if (tokens >= limits_.hold.share * limits_.step_tokens) return 0;
  }
  return std::max(0L, limits_.hold.steps - held_steps_);
}

void ContinuousBatching::plan() {
  take_arrivals();
  const long held = steps_to_hold();
  holding_ = held > 0;
  const Chunk chunk = holding_ ? Chunk{} : schedule_prompts();
  plan_ = {};
  if (chunk.tokens > 0) {
    const bool mixed = limits_.chunked_prefill && decoding_ > 0.5;
    plan_ = {.steps = mixed ? 1 : 0, .chunk = chunk};
    plan_.work = costs_.step({.sequences = mixed ? decoding_ : 0.0,
                              .context = mixed ? contexts_ / decoding_ : 0.0,
                              .prefill_tokens = chunk.tokens,
                              .prefill_sequences = chunk.sequences,
                              .prefill_position = chunk.position});
    stall();
    planned_ = true;
  } else if (decoding_ > 0.5) {
    plan_decode(holding_ ? held : std::numeric_limits<long>::max());
  }
}

/// Copies of swapped caches hold the step up.
void ContinuousBatching::stall() {
  plan_.work.time_s += copying_s_;
  copying_s_ = 0;
  plan_.end_s = now_ + plan_.work.time_s;
}

std::span<const std::size_t> ContinuousBatching::advance() {
  completed_.clear();
  now_ = next_s();
  if (!planned_) return completed_;  // the wait of an idle engine
  planned_ = false;
  work_ += plan_.work;
  prompt_tokens_ += plan_.chunk.tokens;
  count_gaps(plan_.work.time_s, plan_.steps);
  const double gained = decoding_ * limits_.tokens_per_step * static_cast<double>(plan_.steps);
  contexts_ += gained;
  tokens_out_ += gained;
  step_ += plan_.steps;
  peak_cache_ = std::max(peak_cache_, used());
  if (plan_.chunk.tokens > 0) {
    held_steps_ = 0;
  } else if (limits_.hold.balance_steps > 0) {
    held_steps_ = (held_steps_ + plan_.steps) % limits_.hold.balance_steps;
  } else if (holding_) {
    held_steps_ += plan_.steps;
  }
  take_arrivals();  // before those that end: a jump places them as single steps do
  finish_decoding();
  if (plan_.chunk.tokens > 0) {
    finish_prompts();
    preempt_overflow();
  }
  return completed_;
}

/// The last block of a sequence is half empty on average.
double ContinuousBatching::block_loss() const {
  return (limits_.block_tokens - 1) / 2;
}

double ContinuousBatching::used() const {
  return contexts_ + reserved_ +
         (decoding_ + static_cast<double>(prefilling_.size())) * block_loss();
}

bool ContinuousBatching::slot_free() const {
  return decoding_ + static_cast<double>(prefilling_.size()) + 1 <= limits_.sequences;
}

/// A slot, and cache for the whole prompt and one token.
bool ContinuousBatching::fits(std::size_t index) const {
  if (!slot_free()) return false;
  const double active = decoding_ + static_cast<double>(prefilling_.size());
  const double need = states_[index].prompt + limits_.tokens_per_step;
  return limits_.cache_tokens <= 0 || active < 0.5 ||
         used() + need + block_loss() + decoding_ * limits_.tokens_per_step <= limits_.cache_tokens;
}

/// Requests are let in in order: while one waits, or no slot is free, another one changes nothing,
/// unless they are held back for more to come.
bool ContinuousBatching::arrivals_matter() const {
  return (waiting_.empty() || holding_) && slot_free();
}

ContinuousBatching::Chunk ContinuousBatching::schedule_prompts() {
  // Whole prompts run alone, those that decode wait for them.
  const double taken = limits_.chunked_prefill ? decoding_ * limits_.query_tokens : 0.0;
  Chunk chunk = limits_.hold.balance_steps > 0 ? chunks_by_rank()
                                               : chunks_within(limits_.step_tokens - taken);
  if (chunk.tokens > 0) chunk.position /= chunk.tokens;
  peak_cache_ = std::max(peak_cache_, used());
  return chunk;
}

/// A sequence whose cache came from a prefill engine, or back from the host, decodes at once.
bool ContinuousBatching::resume(std::size_t index) {
  State& s = states_[index];
  if (s.done < s.prompt) return false;
  if (s.swapped) copy(s.prompt);
  s.swapped = false;
  late_.push_back({s.token_s, 1});
  join(index);
  return true;
}

void ContinuousBatching::admit(std::size_t index) {
  reserved_ += states_[index].prompt;
  prefilling_.push_back(index);
}

/// Tokens of the prompt that the step takes.
double ContinuousBatching::serve(std::size_t index, double budget, Chunk& chunk) {
  State& s = states_[index];
  const double rest = s.prompt - s.done;
  const double tokens = uncut() ? rest : std::min(rest, budget);
  if (tokens > limits_.step_tokens) oversized_ += 1;
  chunk.position += tokens * (s.done + tokens / 2);
  chunk.tokens += tokens;
  chunk.sequences += 1;
  s.done += tokens;
  return tokens;
}

ContinuousBatching::Chunk ContinuousBatching::chunks_within(double budget) {
  Chunk chunk;
  for (std::size_t k = 0; budget >= 1;) {
    if (k == prefilling_.size()) {
      if (waiting_.empty() || !fits(waiting_.front())) break;
      const std::size_t next = waiting_.front();
      const State& s = states_[next];
      if (uncut() && s.done < s.prompt && s.prompt - s.done > budget && k > 0) break;
      waiting_.pop_front();
      if (resume(next)) {
        budget -= limits_.query_tokens;
        continue;
      }
      admit(next);
    }
    budget -= serve(prefilling_[k++], budget, chunk);
  }
  return chunk;
}

/// Whole prompts within the budget of their rank.
ContinuousBatching::Chunk ContinuousBatching::chunks_by_rank() {
  Chunk chunk;
  const std::size_t ranks = rank_load_.size();
  std::vector<double> left(ranks), served(ranks);
  for (std::size_t r = 0; r < ranks; ++r) {
    left[r] =
        limits_.step_tokens / static_cast<double>(ranks) - rank_decoding_[r] * limits_.query_tokens;
  }
  std::deque<std::size_t> later;
  for (; !waiting_.empty() && fits(waiting_.front()); waiting_.pop_front()) {
    const std::size_t next = waiting_.front(), r = states_[next].rank;
    const double rest = states_[next].prompt - states_[next].done;
    if (rest > left[r] && served[r] > 0) {
      later.push_back(next);
    } else if (!resume(next)) {
      admit(next);
      const double tokens = serve(next, rest, chunk);
      left[r] -= tokens;
      served[r] += tokens;
    }
  }
  waiting_.insert(waiting_.begin(), later.begin(), later.end());
  return chunk;
}

/// Of `steps` decode steps up to now, or of prompts alone, for which all that decode wait.
void ContinuousBatching::count_gaps(double time_s, long steps) {
  sequence_seconds_ += decoding_ * time_s;
  if (decoding_ < 0.5) return;
  double late = 0;
  for (const Weighted& w : late_) late += w.count;
  if (steps == 0) {
    if (decoding_ > late) late_.push_back({now_ - time_s, decoding_ - late});
    return;
  }
  const auto n = static_cast<double>(steps);
  const double each = time_s / n;
  // Steps of a jump grow with the contexts.
  double spread = 0;
  if (steps > 1) {
    const auto at = [&](double context) {
      return costs_.step({.sequences = decoding_, .context = context}).time_s;
    };
    const double first = contexts_ / decoding_;
    spread = at(first + (n - 1) * limits_.tokens_per_step) - at(first);
  }
  for (const Weighted& w : late_)
    gaps_.push_back({now_ - time_s + each - spread / 2 - w.value, w.count});
  if (late > 0 && steps > 1) {  // those that were late are counted; the others take the first step
    if (decoding_ > late) gaps_.push_back({each - spread / 2, decoding_ - late});
    const double step = spread / (n - 1);
    gaps_.push_back({each + step / 2, decoding_ * (n - 1), spread - step, n - 1});
  } else if (decoding_ * n > late) {
    gaps_.push_back({each, decoding_ * n - late, spread, n});
  }
  late_.clear();
}

/// Steps until a sequence ends or the cache is full.
long ContinuousBatching::most_steps() {
  // Preempted sequences leave stale entries behind.
  while (!finishing_.empty() &&
         states_[finishing_.top().index].finish_step != finishing_.top().step) {
    finishing_.pop();
  }
  const long steps = limits_.jump ? std::max(1L, finishing_.top().step - step_) : 1L;
  if (limits_.cache_tokens <= 0) return steps;
  const double room = (limits_.cache_tokens - used()) / (decoding_ * limits_.tokens_per_step);
  return std::clamp(static_cast<long>(std::min(room, 1e15)), 1L, steps);
}

void ContinuousBatching::plan_decode(long most) {
  preempt_overflow();
  plan_ = {.steps = copying_s_ > 0 ? 1L : std::min(most, most_steps())};
  plan_.work = costs_.run(decoding_, contexts_ / decoding_, plan_.steps);
  stall();
  planned_ = true;
  if (plan_.steps > 1 && !arrivals_.empty() && arrivals_matter()) {
    cut_jump(arrivals_.front().first);
  }
}

/// Shortens the jump under way to the least number of its steps that reach `limit_s`.
void ContinuousBatching::cut_jump(double limit_s) {
  if (plan_.end_s <= limit_s) return;
  const double context = contexts_ / decoding_;
  long low = 0;  // does not reach; plan_.steps does
  double low_s = now_;
  // Steps grow slowly: the chord finds the place in two or three tries.
  for (int tries = 0; plan_.steps - low > 1; ++tries) {
    const long span = plan_.steps - low;
    const double share = tries < 6 ? (limit_s - low_s) / (plan_.end_s - low_s) : 0.5;
    const double guess = std::ceil(share * static_cast<double>(span));
    const long steps = low + std::clamp(static_cast<long>(guess), 1L, span - 1);
    const StepWork work = costs_.run(decoding_, context, steps);
    if (now_ + work.time_s >= limit_s) {
      plan_.steps = steps;
      plan_.work = work;
      plan_.end_s = now_ + work.time_s;
    } else {
      low = steps;
      low_s = now_ + work.time_s;
    }
  }
}

double ContinuousBatching::context_of(std::size_t index) const {
  const State& s = states_[index];
  return s.prompt + static_cast<double>(step_ - s.joined_step) * limits_.tokens_per_step;
}

void ContinuousBatching::complete(std::size_t index) {
  served_[index].done_s = now_;
  rank_load_[states_[index].rank] -= 1;
  completed_.push_back(index);
}

void ContinuousBatching::finish_decoding() {
  while (!finishing_.empty() && finishing_.top().step <= step_) {
    const Finish f = finishing_.top();
    finishing_.pop();
    if (states_[f.index].finish_step != f.step) continue;
    State& s = states_[f.index];
    const double context = context_of(f.index);
    contexts_ -= context;
    decoding_ -= 1;
    rank_decoding_[s.rank] -= 1;
    tokens_out_ -= context - s.prompt - s.left;  // the last step may yield more than was asked for
    s.finish_step = -1;
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
  rank_decoding_[s.rank] += 1;
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
    if (served_[i].preemptions > 0.5) {
      gaps_.push_back({now_ - s.token_s, 1});
    } else {
      served_[i].first_token_s = now_;
    }
    s.left -= 1;
    tokens_out_ += 1;
    if (s.left < 0.5) {
      complete(i);
    } else {
      join(i);
    }
  }
}

void ContinuousBatching::preempt_overflow() {
  if (limits_.cache_tokens <= 0) return;
  while (decoding_ > 1.5 && used() + decoding_ * limits_.tokens_per_step > limits_.cache_tokens) {
    preempt_last();
  }
}

void ContinuousBatching::copy(double tokens) {
  copying_s_ += tokens / limits_.swap_tokens_per_s;
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
  rank_decoding_[s.rank] -= 1;
  tokens_out_ -= context - s.prompt - gained;
  s.left -= gained;
  // Recomputed, all its tokens become a prompt and the token that ends it is the next one; swapped,
  // they wait in host memory.
  s.prompt += gained;
  s.swapped = limits_.swap_tokens_per_s > 0;
  s.done = s.swapped ? s.prompt : 0;
  if (s.swapped) copy(s.prompt);
  s.token_s = now_;
  s.finish_step = -1;
  served_[i].preemptions += 1;
  preemptions_ += 1;
  waiting_.push_front(i);
}

}  // namespace jevons::sim
