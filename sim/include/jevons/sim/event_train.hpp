// A training step as it happens: the plan's passes, sends and collectives played on the engine.
//
// Streams of a rank: compute; tensor/context-parallel, expert-parallel and sharded-parameter
// communication; copies to and from the host; sends down and up the pipeline; data-parallel
// communication.
// - A piece (layer, head …) computes; hidden communication runs beside it, exposed communication
//   after it; a host that launches more slowly pads it: max(host, max(compute, hidden) + exposed),
//   a whole backward at once.
// - DualPipe pairs run the forward and backward kernels one after the other while the all-to-all of
//   both runs beside them and holds compute units (compute at 1 − held/units meanwhile); the share
//   1 − pair_overlap of the shorter of the two is exposed.
// - A send takes p2p after its pass; the share 1 − p2p_overlap blocks the sender's compute.
// - Gradients are reduced in one bucket per piece as the last micro-batch's weight gradients come:
//   the share dp_overlap beside compute, the rest after the last pass. Parameters are gathered at
//   the start: the share gather_overlap beside compute, before each piece's first forward.
// - Communication of a rank shares the rank's port into its level: everything that leaves the
//   scale-up domain one link, everything inside of it another, max-min fair. Oversubscribed levels
//   above are the same for all ranks and are in the seconds of the plan.
// - Offloaded activations go to the host from the start of their forward on, in the order of the
//   forwards; the next forward of the stage waits for the copy before it. They come back from the
//   start of the slot before their backward, which ends no sooner than they are there.
// - All ranks meet (gradient norm) before the optimizer.
// One replica stands for all unless `replicas` says otherwise. Known error: see `validate`; the
// same plan in closed form (pipeline.hpp) differs by queueing between uneven stages.
#pragma once

#include "jevons/sim/engine.hpp"
#include "jevons/sim/schedule.hpp"
#include "jevons/sim/training.hpp"
#include "jevons/sim/training_plan.hpp"

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace jevons::sim {

enum class TaskKind : std::uint8_t {
  forward,
  backward_input,
  backward_weight,
  recompute,
  tensor_comm,  ///< tensor and context parallel
  expert_comm,
  shard_comm,  ///< FSDP: weights gathered, gradients reduced layer by layer
  send,
  host,
  gradient_reduce,
  parameter_gather,
  offload,  ///< activations to the host
  reload,   ///< and back
  optimizer,
  meet,  ///< zero seconds: where ranks wait for each other
  count
};
[[nodiscard]] std::string_view to_string(TaskKind kind);

enum class Track : std::uint8_t {
  compute,
  tensor,
  expert,
  shard,
  to_host,
  from_host,
  send_down,
  send_up,
  data,
  count
};
[[nodiscard]] std::string_view to_string(Track track);

struct TaskLabel {
  TaskKind kind = TaskKind::forward;
  Track track = Track::compute;
  std::uint16_t piece = 0;  ///< of the stage
  std::uint32_t rank = 0;   ///< replica · ranks + rank
  Work work;
  std::uint32_t to_rank = kNone;  ///< of a send
};

/// Experts that tokens do not fill evenly: in every pass of every micro-batch one rank of an expert
/// group, drawn anew, has `max_over_mean` times the mean and the others share the rest. Replicas of
/// a group meet after every pass, in its all-to-all.
struct UnevenExperts {
  double max_over_mean = 1;
  long ranks = 1;     ///< of an expert group
  long replicas = 1;  ///< that it spans
  unsigned long seed = 1;
};

struct EventOptions {
  bool per_layer =
      false;          ///< a task per layer and pass (the trace) instead of one per stage and pass
  long replicas = 1;  ///< data-parallel replicas that are simulated
  /// Factor on the compute time of replica · ranks + rank (a straggler has more than 1); empty:
  /// all 1.
  std::vector<double> slowdown = {};
  UnevenExperts experts = {};
};

/// Where the seconds of a rank went; the parts add up to the step.
struct RankSeconds {
  double compute = 0;
  double exposed_comm = 0;   ///< inside passes; units taken from compute included
  double sends = 0;          ///< sends that block compute
  double data_parallel = 0;  ///< gathers before and reduces after the passes
  double host = 0, optimizer = 0;
  double bubble = 0;  ///< waiting for other ranks
};

/// Slots of one kind on a rank: how many, and the seconds from start to end.
struct PassSeconds {
  long count = 0;
  double seconds = 0;
  [[nodiscard]] double mean() const {
    return count == 0 ? 0.0 : seconds / static_cast<double>(count);
  }
};

struct Sample {
  double time_s = 0, value = 0;
};

/// What a task does to its chip while it runs.
struct TaskActivity {
  double flops = 0, hbm_bytes = 0;
};

struct TrainingTimeline {
  Timeline timeline;
  std::vector<TaskLabel> labels;       ///< by task
  std::vector<TaskActivity> activity;  ///< by task
  std::vector<RankSeconds> ranks;
  std::vector<std::array<PassSeconds, 5>> passes;  ///< by rank and Pass
  std::vector<std::vector<Sample>> memory;         ///< by rank: bytes from that time on
  std::vector<double> memory_peak_bytes;           ///< by rank
  std::array<double, static_cast<std::size_t>(TaskKind::count)>
      critical_s{};            ///< adds up to the step
  double host_per_step_s = 0;  ///< after the last task
  [[nodiscard]] Seconds step() const { return Seconds(timeline.makespan_s + host_per_step_s); }
  /// The rank with the most compute and exposed communication: the pipeline waits for it.
  [[nodiscard]] std::size_t slowest_rank() const;
};

/// Every pipeline rank of every replica. A chip's compute takes a factor of exp(spread · z) with z
/// normal (`spread`: standard deviation of chip speeds; 0: all alike), drawn from `seed`; a rank of
/// `chips` (tensor and context parallel) goes as its slowest. Replicas meet in the gradient reduce
/// and the optimizer, and where experts span replicas after every pass.
[[nodiscard]] EventOptions full_cluster(const TrainingPlan& plan,
                                        const workloads::Parallelism& layout, double spread,
                                        UnevenExperts experts);

[[nodiscard]] TrainingTimeline play_training(const TrainingPlan& plan,
                                             const EventOptions& options = {});

/// The played step in the terms of the closed form, which it can stand in for.
[[nodiscard]] TrainingTime time_of(const TrainingTimeline& played, const TrainingPlan& plan);

/// "critical_path_s": what the longest chain of tasks consists of; adds up to the step.
void add_critical_path(const TrainingTimeline& played, Result& result);

/// Seconds of one of a rank's communication streams beside its compute stream.
struct StreamSeconds {
  double exposed = 0;  ///< while nothing computes
  double hidden = 0;
};
/// By track; compute stays zero.
[[nodiscard]] std::array<StreamSeconds, static_cast<std::size_t>(Track::count)> communication_of(
    const TrainingTimeline& played, const TrainingPlan& plan, std::size_t rank);

/// "communication_s": what the streams of the slowest rank carried, exposed and hidden.
void add_communication(const TrainingTimeline& played, const TrainingPlan& plan, Result& result);

/// FLOPs and memory bytes per second of a rank, averaged over `bins` equal parts of the step.
struct ActivitySeries {
  std::vector<double> flops_per_s, hbm_bytes_per_s;
};
/// By rank.
[[nodiscard]] std::vector<ActivitySeries> activity_over_time(const TrainingTimeline& played,
                                                             std::size_t bins);

}  // namespace jevons::sim
