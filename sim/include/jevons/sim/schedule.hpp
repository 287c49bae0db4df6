// Pipeline schedules as ordered lists: what each rank does, one slot after the other.
//
// Stages are numbered along the model. A lane is a direction in which micro-batches travel: one for
// all schedules but DualPipe, whose second lane runs from the last rank to the first with its own
// copy of the weights.
// Sources: GPipe (arXiv 1811.06965); 1F1B (PipeDream-Flush, arXiv 2006.09503) and interleaved 1F1B
// (Megatron-LM, arXiv 2104.04473); ZB-H1 (arXiv 2401.10241); DualPipe (DeepSeek-V3 report and the
// eight steps of deepseek-ai/DualPipe).
#pragma once

#include "jevons/core/units.hpp"
#include "jevons/sim/scenario.hpp"

#include <cstdint>
#include <vector>

namespace jevons::sim {

enum class Pass : std::uint8_t {
  forward,
  backward,        ///< input and weight gradients in one go
  backward_input,  ///< input gradients; the weight gradients follow in a slot of their own
  backward_weight,
  pair  ///< a forward and the whole backward of another micro-batch, overlapped
};

/// A stage's work on a micro-batch.
struct Work {
  std::uint16_t lane = 0, stage = 0;
  std::uint32_t micro_batch = 0;
  friend bool operator==(const Work&, const Work&) = default;
};

struct Slot {
  Pass pass = Pass::forward;
  Work work;      ///< of a pair: the forward
  Work backward;  ///< of a pair only
};

struct Program {
  long ranks = 1, lanes = 1;
  long stages = 1;         ///< of a lane
  long micro_batches = 1;  ///< of all lanes together
  std::vector<std::vector<Slot>> by_rank;
  [[nodiscard]] long rank_of(long lane, long stage) const {
    return lane == 0 ? stage % ranks : ranks - 1 - stage % ranks;
  }
  /// Lane l carries micro-batches l · M / lanes and on.
  [[nodiscard]] long lane_of(long micro_batch) const { return micro_batch * lanes / micro_batches; }
};

/// Throws Error(bad_input) when the schedule does not exist for these sizes: chunks only with
/// interleaved; DualPipe needs even ranks and an even number of micro-batches, at least 2 ranks.
[[nodiscard]] Program make_program(Schedule schedule, long ranks, long chunks, long micro_batches);

/// Micro-batches whose activations a rank holds at most, in units of one whole rank (a chunk counts
/// 1 / chunks). An activation lives from its forward to its backward, or to its weight gradient
/// when that is apart.
[[nodiscard]] double peak_in_flight(const Program& program, long rank);

/// Times of one micro-batch on one rank, all its chunks together.
struct EvenTimes {
  Seconds forward, backward, backward_weight;  ///< backward: whole, the weight part included
  Seconds pair;                                ///< DualPipe: an overlapped forward and backward
};
/// Idle seconds per step and rank with even stages and free communication (facts: V3 report Table
/// 2; deepseek-ai/DualPipe): GPipe and 1F1B (P−1)(F+B), interleaved that over the chunks, ZB-H1
/// (P−1)(F+B−2W), DualPipe (P/2−1)(F&B+B−3W). Valid from P micro-batches (DualPipe: 2 P) on;
/// interleaved: multiples of P. DualPipe's is that of the two middle ranks when F = B − W; played
/// from the published steps it is up to 6 % shorter when F < B − W (V3's measured phases: 1.115 s
/// against 1.164 s).
[[nodiscard]] Seconds bubble_closed_form(Schedule schedule, long ranks, long chunks,
                                         const EvenTimes& times);

}  // namespace jevons::sim
