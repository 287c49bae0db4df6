// DualPipe: the eight steps of deepseek-ai/DualPipe. A rank in the second half mirrors its partner
// in the first half with the lanes swapped. At 16 ranks and 120 micro-batches rank 0 runs 97 pairs,
// 23 lone forwards, 23 lone input gradients (8 of them with their weight gradient) and 15 lone
// weight gradients.
#include "schedule_dualpipe.hpp"

#include <utility>

namespace jevons::sim {
namespace {

class DualPipeRank {
 public:
  DualPipeRank(long ranks, long micro_batches, long rank)
      : ranks_(ranks), half_(micro_batches / 2), rank_(rank) {}

  std::vector<Slot> steps() {
    const long from_end = std::min(rank_, ranks_ - 1 - rank_);
    const long from_middle = ranks_ / 2 - 1 - from_end;
    for (long i = 0; i < 2 * from_middle; ++i) {  // 1: forwards
      forward(0);
    }
    for (long i = 0; i < from_end + 1; ++i) {  // 2: forwards of both lanes
      forward(0);
      forward(1);
    }
    for (long i = 0; i < from_middle; ++i) {  // 3: first backwards, weights apart
      backward(1, true);
      weights();
      forward(1);
    }
    for (long i = 0; i < half_ - ranks_ + from_end + 1; ++i) {  // 4: the steady state
      if (i == 0 && from_middle == 0) {  // the two middle ranks start unpaired
        forward(0);
        backward(1, false);
      } else {
        pair(0, 1);
      }
      pair(1, 0);
    }
    for (long i = 0; i < from_middle; ++i) {  // 5: the last forwards
      backward(1, false);
      pair(1, 0);
    }
    drain(from_end);
    for (long i = 0; i < from_middle; ++i) {  // 7: weights and backwards in turn
      weights();
      backward(0, true);
    }
    for (long i = 0; i < from_end + 1; ++i) {  // 8: weights
      weights();
    }
    return std::move(slots_);
  }

 private:
  // 6: backwards; from the middle on their weight gradients are put off.
  void drain(long from_end) {
    bool split = false;
    const long count = from_end + 1;
    for (long i = 0; i < count; ++i) {
      split = split || (i == count / 2 && from_end % 2 == 1);
      backward(1, split);
      split = split || (i == count / 2 && from_end % 2 == 0);
      backward(0, split);
    }
  }

  // `phase` 0 is the lane that enters the pipeline at this half's end.
  Work next(long phase, long* counters) {
    const bool second_half = rank_ >= ranks_ / 2;
    const long lane = second_half ? 1 - phase : phase;
    const long stage = lane == 0 ? rank_ : ranks_ - 1 - rank_;
    return {static_cast<std::uint16_t>(lane), static_cast<std::uint16_t>(stage),
            static_cast<std::uint32_t>(lane * half_ + counters[phase]++)};
  }
  void forward(long phase) { slots_.push_back({Pass::forward, next(phase, forwards_), {}}); }
  void backward(long phase, bool split) {
    const auto work = next(phase, backwards_);
    slots_.push_back({split ? Pass::backward_input : Pass::backward, work, {}});
    if (split) {
      put_off_.push_back(work);
    }
  }
  void pair(long forward_phase, long backward_phase) {
    const auto work = next(forward_phase, forwards_);
    slots_.push_back({Pass::pair, work, next(backward_phase, backwards_)});
  }
  void weights() { slots_.push_back({Pass::backward_weight, put_off_[first_put_off_++], {}}); }

  long ranks_, half_, rank_;
  long forwards_[2] = {0, 0}, backwards_[2] = {0, 0};
  std::vector<Work> put_off_;
  std::size_t first_put_off_ = 0;
  std::vector<Slot> slots_;
};

}  // namespace

Program dualpipe_program(long ranks, long micro_batches) {
  Program out{ranks, 2, ranks, micro_batches, {}};
  for (long rank = 0; rank < ranks; ++rank) {
    out.by_rank.push_back(DualPipeRank(ranks, micro_batches, rank).steps());
  }
  return out;
}

}  // namespace jevons::sim
