#include "jevons/sim/disaggregated.hpp"

#include <algorithm>
#include <limits>

namespace jevons::sim {
namespace {

template <class Pool, class Figure>
double sum(const Pool& pool, const Figure& figure) {
  double total = 0;
  for (const auto& member : pool) total += figure(member.engine);
  return total;
}

template <class Pool>
StepWork work_of(const Pool& pool) {
  StepWork total;
  for (const auto& member : pool) total += member.engine.work();
  return total;
}

}  // namespace

Disaggregated::Pool Disaggregated::members(const EnginePool& pool, EngineRole role) {
  BatchingLimits limits = pool.limits;
  limits.role = role;
  Pool out;
  out.reserve(pool.instances);
  for (std::size_t i = 0; i < pool.instances; ++i) {
    out.push_back({.engine = ContinuousBatching(limits, pool.costs)});
    out.back().next_s = out.back().engine.next_s();
  }
  return out;
}

Disaggregated::Disaggregated(const EnginePool& prefill, const EnginePool& decode, CacheLink link)
    : prefill_(members(prefill, EngineRole::prefill)),
      decode_(members(decode, EngineRole::decode)),
      link_(link),
      free_at_(prefill.instances) {
  for (Channels& channels : free_at_) {
    for (std::size_t k = 0; k < std::max<std::size_t>(link.channels, 1); ++k) channels.push(0);
  }
}

std::size_t Disaggregated::arrive(const Request& request, double at_s) {
  const std::size_t index = requests_.size();
  requests_.push_back(request);
  served_.push_back({.arrival_s = at_s});
  arrivals_.push_back(index);
  return index;
}

std::size_t Disaggregated::first_event(const Pool& pool) {
  const auto first = std::min_element(
      pool.begin(), pool.end(), [](const auto& a, const auto& b) { return a.next_s < b.next_s; });
  return static_cast<std::size_t>(first - pool.begin());
}

std::size_t Disaggregated::least_loaded(const Pool& pool) {
  const auto least = std::min_element(pool.begin(), pool.end(),
                                      [](const auto& a, const auto& b) { return a.load < b.load; });
  return static_cast<std::size_t>(least - pool.begin());
}

double Disaggregated::next_s() const {
  const double arrival = arrivals_.empty() ? std::numeric_limits<double>::infinity()
                                           : served_[arrivals_.front()].arrival_s;
  return std::min(
      {arrival, prefill_[first_event(prefill_)].next_s, decode_[first_event(decode_)].next_s});
}

std::span<const std::size_t> Disaggregated::advance() {
  completed_.clear();
  const std::size_t p = first_event(prefill_), d = first_event(decode_);
  const double engines = std::min(prefill_[p].next_s, decode_[d].next_s);
  if (!arrivals_.empty() && served_[arrivals_.front()].arrival_s <= engines) {
    dispatch();
  } else if (prefill_[p].next_s <= decode_[d].next_s) {
    advance_prefill(p);
  } else {
    advance_decode(d);
  }
  refresh();
  return completed_;
}

/// Engines plan on when asked: after all that comes at the same moment has been handed to them.
void Disaggregated::refresh() {
  for (Member* member : touched_) member->next_s = member->engine.next_s();
  touched_.clear();
}

void Disaggregated::send(Member& to, std::size_t index, double at_s, double token_s) {
  to.engine.arrive(requests_[index], at_s, token_s);
  to.requests.push_back(index);
  touched_.push_back(&to);
}

void Disaggregated::dispatch() {
  now_ = std::max(now_, served_[arrivals_.front()].arrival_s);
  while (!arrivals_.empty() && served_[arrivals_.front()].arrival_s <= now_) {
    const std::size_t index = arrivals_.front();
    arrivals_.pop_front();
    Member& to = prefill_[least_loaded(prefill_)];
    to.load += requests_[index].input - requests_[index].cached;
    send(to, index, now_, 0);
  }
}

void Disaggregated::advance_prefill(std::size_t instance) {
  Member& member = prefill_[instance];
  now_ = member.next_s;
  touched_.push_back(&member);
  for (const std::size_t local : member.engine.advance()) {
    const std::size_t index = member.requests[local];
    member.load -= requests_[index].input - requests_[index].cached;
    served_[index].first_token_s = now_;
    first_tokens_ += 1;
    if (requests_[index].output > 1.5) {
      hand_over(instance, index);
    } else {
      complete(index);
    }
  }
}

void Disaggregated::hand_over(std::size_t instance, std::size_t index) {
  Channels& channels = free_at_[instance];
  const double start = std::max(now_, channels.top());
  const double end = start + requests_[index].input * link_.s_per_token;
  channels.pop();
  channels.push(end);
  transfers_.push_back(end - now_);
  Member& to = decode_[least_loaded(decode_)];
  to.load += 1;
  send(to, index, end, now_);
}

void Disaggregated::advance_decode(std::size_t instance) {
  Member& member = decode_[instance];
  now_ = member.next_s;
  touched_.push_back(&member);
  for (const std::size_t local : member.engine.advance()) {
    const std::size_t index = member.requests[local];
    member.load -= 1;
    served_[index].preemptions = member.engine.served()[local].preemptions;
    complete(index);
  }
}

void Disaggregated::complete(std::size_t index) {
  served_[index].done_s = now_;
  completed_.push_back(index);
}

StepWork Disaggregated::prefill_work() const {
  return work_of(prefill_);
}

StepWork Disaggregated::decode_work() const {
  return work_of(decode_);
}

double Disaggregated::prompt_tokens() const {
  return sum(prefill_, [](const ContinuousBatching& e) { return e.prompt_tokens(); });
}

double Disaggregated::tokens_out() const {
  return first_tokens_ + sum(decode_, [](const ContinuousBatching& e) { return e.tokens_out(); });
}

double Disaggregated::decode_sequence_seconds() const {
  return sum(decode_, [](const ContinuousBatching& e) { return e.decode_sequence_seconds(); });
}

double Disaggregated::preemptions() const {
  return sum(decode_, [](const ContinuousBatching& e) { return e.preemptions(); });
}

double Disaggregated::oversized_prompts() const {
  return sum(prefill_, [](const ContinuousBatching& e) { return e.oversized_prompts(); });
}

std::vector<Weighted> Disaggregated::gaps() const {
  std::vector<Weighted> all;
  for (const Member& member : decode_) {
    all.insert(all.end(), member.engine.gaps().begin(), member.engine.gaps().end());
  }
  return all;
}

}  // namespace jevons::sim
