// Builds the task graph of a training step.
#pragma once

#include "jevons/sim/event_train.hpp"

#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

namespace jevons::sim {

/// The tasks of one slot of a rank's program, one after the other.
struct SlotSpan {
  TaskId first = kNone, last = kNone;            ///< first: may start when its inputs are there
  double compute_s = 0, host_s = 0, send_s = 0;  ///< without any wait or slowdown by held units
};

class StepGraph {
 public:
  StepGraph(const TrainingPlan& plan, const EventOptions& options);

  TaskGraph graph;
  Program program;
  std::vector<TaskLabel> labels;
  std::vector<TaskActivity> activity;
  std::vector<std::vector<SlotSpan>> spans;  ///< by replica · ranks + rank, in program order
  std::vector<TaskId> reduced, updated;      ///< by rank: gradients reduced, optimizer done

 private:
  /// Seconds of one pass of a piece, or of several added up.
  struct Costs {
    double compute = 0;
    double tensor_hidden = 0, expert_hidden = 0, shard_hidden = 0;  ///< beside compute
    double overflow = 0;                       ///< hidden communication longer than compute
    double tensor = 0, expert = 0, shard = 0;  ///< exposed
    double host_floor = 0;                     ///< the host's launches
    TaskActivity activity;
    Costs() = default;
    Costs(const PassTimes& times, double slowdown, double load, bool in_pair);
    void add(const Costs& other, double times);
    [[nodiscard]] double device() const { return compute + overflow + tensor + expert + shard; }
  };
  struct Ends {
    TaskId enter = kNone, leave = kNone;
  };
  struct Bucket {
    TaskId ready;
    double seconds;
    Work work;
    std::size_t piece;
  };

  // event_train_graph.cpp
  void add_streams();
  void add_rank(std::uint32_t rank);
  void add_gather();
  void add_sends(std::uint32_t first_rank);
  void connect(Ends from, Ends to, Work work, bool forward, std::uint32_t first_rank);
  void add_meetings();
  void add_reduces();
  void add_reduce(std::uint32_t place, std::size_t bucket);
  void add_optimizer();
  TaskId add(TaskKind kind, Track track, Work work, std::size_t piece, double seconds);
  /// The port of the rank that communication of this kind goes through; kNone: it is none.
  [[nodiscard]] LinkId port(TaskKind kind) const;
  void wait(TaskId task, TaskId before);
  [[nodiscard]] std::uint32_t replica() const {
    return rank_ / static_cast<std::uint32_t>(plan_.ranks);
  }
  [[nodiscard]] std::size_t key(Work work) const;
  [[nodiscard]] std::size_t holder(Work work) const;  ///< stage and lane
  [[nodiscard]] StreamId stream(std::uint32_t rank, Track track) const;
  [[nodiscard]] bool crosses(Work work, bool forward) const;
  [[nodiscard]] std::vector<Work> held_by(std::uint32_t rank) const;  ///< lane and stage
  [[nodiscard]] const StageTimes& stage(Work work) const { return plan_.stages[work.stage]; }

  // event_train_slots.cpp
  void add_slot(const Slot& slot);
  void add_work(Work work, std::span<const TaskKind> kinds, bool in_pair);
  void add_piece(Work work, std::size_t piece, std::span<const TaskKind> kinds, bool in_pair);
  void add_bucket(Work work, std::size_t piece);
  [[nodiscard]] double share(Work work, std::size_t piece) const;
  void add_pair(const Slot& slot);
  void add_pair_pieces(const Slot& slot);
  void add_exchange(const Slot& slot, double hidden, TaskId start);
  [[nodiscard]] double exchange_s(Work work, std::span<const TaskKind> kinds) const;
  void emit(TaskKind kind, Work work, std::size_t piece, const Costs& costs);
  void run_beside(TaskId start, Work work, std::size_t piece, const Costs& costs);
  [[nodiscard]] double host_excess(const PieceTimes& piece, std::span<const TaskKind> kinds,
                                   bool in_pair) const;
  void compute(TaskKind kind, Work work, std::size_t piece, double seconds);
  void block(TaskKind kind, Track track, Work work, std::size_t piece, double seconds);
  void join();
  void block_on_send(Work work, bool forward);
  void wait_for_offload(Work work);
  void offload(Work work, TaskId start);
  void reload(Work work);
  [[nodiscard]] double slowdown(bool in_pair) const;
  [[nodiscard]] Costs costs(const PassTimes& times, bool in_pair) const {
    return {times, slowdown(in_pair), load_, in_pair};
  }
  [[nodiscard]] double expert_load(const Slot& slot) const;
  void meet_experts(const Slot& slot);
  [[nodiscard]] bool detailed(TaskKind kind, Work work) const;
  [[nodiscard]] bool first_of_lane(Work work) const;
  [[nodiscard]] bool last_of_lane(Work work) const;

  const TrainingPlan& plan_;
  const EventOptions& options_;
  std::vector<Ends> forward_, backward_;      // of the replica that is being built, by key()
  std::vector<std::vector<TaskId>> gathers_;  // of the rank being built: holder(), piece, repeat
  std::vector<std::vector<Bucket>> buckets_;  // by rank
  std::vector<TaskId> offloads_;              // of the replica that is being built, by key()
  std::vector<TaskId> offloading_;            // of the rank that is being built, by holder()
  std::uint32_t rank_ = 0;
  double slowdown_ = 1;
  double load_ = 1;  ///< experts of this slot over those of the most loaded rank
  /// Zero-length tasks at the end of slots, by what the replicas of an expert group do together.
  struct Meeting {
    TaskId done, leave;
  };
  std::unordered_map<std::uint64_t, std::vector<Meeting>> meetings_;
  SlotSpan span_;
  TaskId last_ = kNone;  // the task before on the compute stream
  TaskId gate_ = kNone;  // communication that the next compute task waits for as well
};

}  // namespace jevons::sim
