// Closed forms of pipeline schedules: how long n micro-batches take over P stages.
//
// With stage times t_i = F_i + B_i (B the full backward, W its weight part) and v chunks a rank:
//   gpipe, 1f1b     n max t + (Σ t − max t)
//   interleaved     n max t + (Σ t − max t)/v
//   zb-h1           n max t + Σ' max(0, F + B − 2 W)             Σ' over all ranks but the slowest
//   dualpipe        (n − l) pair + l (F + B) + (P/2 − 1)(pair + B − 3 W),  l = 3P/2 − 1
// plus sends: 2 n v (1 − overlap) p2p + 2 (P − 1) p2p. Even stages give the published bubbles
// (P − 1)(F + B), /v, (P − 1)(F + B − 2W), (P/2 − 1)(F&B + B − 3W). Sources: Megatron-LM (arXiv
// 2104.04473), Zero Bubble (arXiv 2401.10241), DeepSeek-V3 report Table 2 (arXiv 2412.19437).
// Range: n ≥ P, dualpipe: even P and n ≥ 2P. Known error: queueing between uneven stages and skew
// of ranks are not in it: on the published V3 step the dualpipe bubble comes out 0.8 s of 2.06 s
// short, where the events give the first rank 2.0 s.
#pragma once

#include "jevons/sim/training_plan.hpp"

#include <span>

namespace jevons::sim {

/// One rank of the pipeline for one micro-batch, its chunks added up.
struct RankTimes {
  Seconds forward;
  Seconds backward;  ///< input and weight part, recompute included
  Seconds weight;    ///< the weight part alone
  Seconds pair;      ///< dualpipe: a forward and a backward overlapped
};

struct PipelineTime {
  Seconds total;
  Seconds busy;                       ///< of the slowest rank
  Seconds bubble;                     ///< waiting for the pipeline to fill and drain
  Seconds p2p;                        ///< sends that nothing hides
  double lone_passes = 0, pairs = 0;  ///< dualpipe: lone forwards (and backwards), overlapped pairs
};

struct PipelineShape {
  Schedule schedule = Schedule::one_f_one_b;
  long chunks = 1;  ///< per rank
  double micro_batches = 1;
  Seconds p2p;
  double p2p_overlap = 1;
};

[[nodiscard]] PipelineTime pipeline_time(const PipelineShape& shape,
                                         std::span<const RankTimes> ranks);

/// Micro-batches whose activations a rank holds at once, in units of all its chunks
/// (formulas: Megatron-LM; zb-h1 P on every rank; dualpipe P + 1, shared by its two stages).
[[nodiscard]] double in_flight(Schedule schedule, long ranks, long chunks, double micro_batches,
                               long rank);

}  // namespace jevons::sim
