#include "jevons/sim/event_train.hpp"

#include "jevons/core/error.hpp"

#include <doctest/doctest.h>

#include <numeric>

using namespace jevons;
using namespace jevons::sim;

namespace {

PassTimes pass(double compute, double tp_exposed, double tp_hidden, double ep, double host) {
  PassTimes out;
  out.compute = Seconds(compute);
  out.tp = {Seconds(tp_exposed), Seconds(tp_hidden)};
  out.ep = {Seconds(ep), Seconds(0.0)};
  out.host = Seconds(host);
  out.flops = Flops(compute * 1e12);
  out.hbm = Bytes(compute * 1e9);
  return out;
}

PieceTimes layer(double scale, long repeat) {
  PieceTimes out;
  out.name = "layer";
  out.forward = pass(scale, 0.1, 0.4, 0.2, 0.0);
  out.backward_input = pass(1.1 * scale, 0.1, 1.5 * scale, 0.2, 3.2);
  out.backward_weight = pass(0.9 * scale, 0.0, 0.0, 0.0, 0.0);
  out.recompute = pass(0.3 * scale, 0.0, 0.0, 0.0, 0.0);
  out.repeat = repeat;
  return out;
}

// Uneven stages, every kind of communication.
TrainingPlan full_plan(Schedule schedule, long chunks) {
  TrainingPlan plan;
  plan.schedule = schedule;
  plan.ranks = 4;
  plan.chunks = chunks;
  plan.micro_batches = 12;
  plan.p2p = Seconds(0.05);
  plan.p2p_overlap = 0.6;
  plan.dp_overlap = 0.7;
  plan.gather_overlap = 0.5;
  plan.pair_overlap = 0.8;
  plan.held_units = 20;
  plan.compute_units = 132;
  plan.host_per_micro_batch = Seconds(0.02);
  plan.host_per_step = Seconds(0.3);
  for (long s = 0; s < 4 * chunks; ++s) {
    StageTimes stage;
    stage.pieces = {layer(1.0, 2), layer(0.6, s % 2 + 1)};
    stage.resident = Bytes(1000);
    stage.kept = Bytes(30);
    stage.gradient_reduce = Seconds(0.8);
    stage.parameter_gather = Seconds(0.4);
    stage.optimizer_step = Seconds(0.25);
    plan.stages.push_back(stage);
  }
  plan.stages.back().pieces.push_back(layer(0.4, 1));
  return plan;
}

const std::vector<std::pair<Schedule, long>> kSchedules{{Schedule::gpipe, 1},
                                                        {Schedule::one_f_one_b, 1},
                                                        {Schedule::interleaved, 3},
                                                        {Schedule::zb_h1, 1},
                                                        {Schedule::dualpipe, 1}};

double step(const TrainingPlan& plan, const EventOptions& options = {}) {
  return play_training(plan, options).step().raw();
}

}  // namespace

TEST_CASE("event training: a single rank takes the sum of what it does") {
  TrainingPlan plan = full_plan(Schedule::one_f_one_b, 1);
  plan.ranks = 1;
  plan.stages.resize(1);
  plan.stages[0].pieces = {layer(1.0, 2)};
  // Forward: 1.0 + 0.1 + 0.2 = 1.3. Backward: recompute 0.3, input gradient
  // max(1.1, 1.5) + 0.3 = 1.8, weight 0.9: 3.0, but the host takes 3.2. Two layers, 12
  // micro-batches: 24 · 4.5 = 108, host 12 · 0.02, the
  // first beside the gather. Gather 0.2 exposed, then 0.1 before the first layer, the other layer's
  // behind it. Reduce: of 0.7 · 0.8 the second layer's half goes beside the first one's backward,
  // 0.28 after it, then 0.24. Optimizer 0.25, host 0.3.
  const double expected = 108 + 0.22 + 0.2 + 0.1 + 0.28 + 0.24 + 0.25 + 0.3;
  CHECK(step(plan) == doctest::Approx(expected).epsilon(1e-9));
}

TEST_CASE("event training: a task per layer takes as long as a task per stage") {
  for (const auto& [schedule, chunks] : kSchedules) {
    CAPTURE(to_string(schedule));
    auto plan = full_plan(schedule, chunks);
    plan.crosses.send = plan.crosses.data = true;  // a port that hidden communication does not use
    // A pair's all-to-all shares the port with tensor-parallel communication that only layers show.
    const double tolerance = schedule == Schedule::dualpipe ? 0.005 : 1e-9;
    CHECK(step(plan, {.per_layer = true}) == doctest::Approx(step(plan)).epsilon(tolerance));
    // Units held while compute waits for tensor-parallel communication slow nobody.
    plan.held_throughout = false;
    CHECK(step(plan, {.per_layer = true}) == doctest::Approx(step(plan)).epsilon(0.01));
  }
}

TEST_CASE("event training: communication through one port of a rank shares it") {
  // Two ranks, one micro-batch: forwards of 1 s, backwards of 2 s, sends of 0.4 s; the second rank
  // reduces gradients for 2 s once its backward is over, at 4.4 s.
  TrainingPlan plan;
  plan.ranks = 2;
  plan.p2p = Seconds(0.4);
  PieceTimes piece;
  piece.forward.compute = Seconds(1);
  piece.backward_input.compute = Seconds(2);
  StageTimes stage;
  stage.pieces = {piece};
  plan.stages = {stage, stage};
  plan.stages[1].gradient_reduce = Seconds(2);
  plan.crosses.send = true;  // the send goes out of the node, the reduce stays inside
  CHECK(step(plan) == doctest::Approx(1 + 0.4 + 1 + 2 + 0.4 + 2).epsilon(1e-12));
  // Through one port the send takes 0.8 s, and the first rank's backward comes 0.4 s later.
  plan.crosses.data = true;
  CHECK(step(plan) == doctest::Approx(1 + 0.4 + 1 + 2 + 0.8 + 2).epsilon(1e-12));
  // A reduce that is longer than all that: half of 0.8 s and the rest at full rate.
  plan.stages[1].gradient_reduce = Seconds(5);
  CHECK(step(plan) == doctest::Approx(4.4 + 0.8 + 4.6).epsilon(1e-12));
}

TEST_CASE("event training: offloaded activations cost what the host link cannot hide") {
  TrainingPlan plan;
  plan.micro_batches = 10;
  PieceTimes piece;
  piece.forward.compute = Seconds(1);
  piece.backward_input.compute = Seconds(2);
  StageTimes stage;
  stage.pieces = {piece};
  plan.stages = {stage};
  // One rank: out and back again within a forward and its backward, 1.5 s each, or waited for.
  for (const double copy : {0.0, 0.5, 1.5, 2.0, 6.0}) {
    plan.stages[0].offload = Seconds(copy);
    const double expected = 10 * std::max(3.0, 2 * copy);
    CHECK(step(plan) == doctest::Approx(expected).epsilon(1e-12));
    CHECK(closed_form(plan).step.raw() == doctest::Approx(expected).epsilon(1e-12));
  }
  // In a pipeline other micro-batches run meanwhile: both directions beside a forward and backward.
  plan.ranks = 4;
  plan.micro_batches = 40;
  for (const double copy : {0.5, 2.9, 6.0}) {
    plan.stages.assign(4, stage);
    for (auto& each : plan.stages) each.offload = Seconds(copy);
    CHECK(step(plan) >= 40 * std::max(3.0, copy) - 1e-9);
    CHECK(closed_form(plan).step.raw() == doctest::Approx(step(plan)).epsilon(0.15));
  }
}

TEST_CASE("event training: the seconds of every rank add up to the step") {
  for (const auto& [schedule, chunks] : kSchedules) {
    CAPTURE(to_string(schedule));
    const auto played = play_training(full_plan(schedule, chunks));
    for (const auto& rank : played.ranks) {
      CHECK(rank.compute + rank.exposed_comm + rank.sends + rank.data_parallel + rank.host +
                rank.optimizer + rank.bubble ==
            doctest::Approx(played.step().raw()));
      CHECK(rank.bubble > 0);
      CHECK(rank.exposed_comm > 0);
    }
    CHECK(std::accumulate(played.critical_s.begin(), played.critical_s.end(), 0.0) ==
          doctest::Approx(played.step().raw()));
  }
}

TEST_CASE("event training: exposed and hidden add up to what each stream carries") {
  for (const auto& [schedule, chunks] : kSchedules) {
    CAPTURE(to_string(schedule));
    auto plan = full_plan(schedule, chunks);
    plan.crosses.expert = true;  // no two kinds wait for each other at a port
    // Hidden communication is a task only in a timeline of layers, and counted in both.
    const auto layers = play_training(plan, {.per_layer = true}), stages = play_training(plan);
    for (std::size_t rank = 0; rank < 4; ++rank) {
      const auto fine = communication_of(layers, plan, rank);
      const auto coarse = communication_of(stages, plan, rank);
      for (const Track track : {Track::tensor, Track::expert}) {
        const auto i = static_cast<std::size_t>(track);
        CHECK(fine[i].exposed + fine[i].hidden ==
              doctest::Approx(coarse[i].exposed + coarse[i].hidden).epsilon(0.02));
        CHECK(fine[i].exposed > 0);
      }
    }
  }
}

TEST_CASE("event training: all FLOPs of the plan are played, whatever the resolution") {
  for (const auto& [schedule, chunks] : kSchedules) {
    CAPTURE(to_string(schedule));
    const auto plan = full_plan(schedule, chunks);
    double expected = 0;
    for (const auto& stage : plan.stages) {
      for (const auto& piece : stage.pieces) {
        expected += 12.0 * static_cast<double>(piece.repeat) *
                    (piece.forward.flops + piece.backward_input.flops +
                     piece.backward_weight.flops + piece.recompute.flops)
                        .raw();
      }
    }
    for (const bool per_layer : {false, true}) {
      const auto played = play_training(plan, {.per_layer = per_layer});
      const auto all = activity_over_time(played, 64);
      double tasks = 0, series = 0;
      for (const auto& activity : played.activity) {
        tasks += activity.flops;
      }
      for (std::size_t rank = 0; rank < 4; ++rank) {
        const auto& over_time = all[rank];
        for (const double rate : over_time.flops_per_s) {
          series += rate * played.step().raw() / 64;
        }
      }
      CHECK(tasks == doctest::Approx(expected));
      CHECK(series == doctest::Approx(expected));
    }
  }
}

TEST_CASE("event training: memory ends where it began and never falls below the weights") {
  for (const auto& [schedule, chunks] : kSchedules) {
    const auto played = play_training(full_plan(schedule, chunks));
    for (const auto& samples : played.memory) {
      CHECK(samples.back().value == doctest::Approx(samples.front().value));
      double time = 0;
      for (const auto& sample : samples) {
        CHECK(sample.time_s >= time);
        CHECK(sample.value >= samples.front().value - 1e-9);
        time = sample.time_s;
      }
    }
  }
}

TEST_CASE("event training: replicas that do the same take as long as one of them") {
  for (const auto& [schedule, chunks] : kSchedules) {
    const auto plan = full_plan(schedule, chunks);
    CHECK(step(plan, {.replicas = 3}) == doctest::Approx(step(plan)).epsilon(1e-12));
  }
}

TEST_CASE("event training: one straggler in one replica holds up all") {
  auto plan = full_plan(Schedule::one_f_one_b, 1);
  std::vector<double> slowdown(12, 1.0);
  slowdown[6] = 3.0;  // replica 1, rank 2
  const double held_up = step(plan, {.replicas = 3, .slowdown = slowdown});
  std::vector<double> alone(4, 1.0);
  alone[2] = 3.0;
  CHECK(held_up == doctest::Approx(step(plan, {.slowdown = alone})));
  CHECK(held_up > 1.15 * step(plan));
}

TEST_CASE("event training: holding units the whole pair long costs no less than while needed") {
  auto plan = full_plan(Schedule::dualpipe, 1);
  const double throughout = step(plan);
  plan.held_throughout = false;
  const double while_needed = step(plan);
  plan.held_units = 0;
  const double free = step(plan);
  CHECK(throughout > while_needed);
  CHECK(while_needed > free);
}

TEST_CASE("event training: the more the chips differ, the longer all wait for the slowest") {
  const auto plan = full_plan(Schedule::one_f_one_b, 1);
  const auto cluster = [&plan](double spread, long tp = 1) {
    return full_cluster(plan, {.tp = tp, .dp = 8}, spread, {});
  };
  const double alike = step(plan, cluster(0.0));
  CHECK(alike == doctest::Approx(step(plan)));
  const double little = step(plan, cluster(0.1));
  const double much = step(plan, cluster(0.3));
  CHECK(little > alike);
  CHECK(much > little);
  CHECK(step(plan, cluster(0.3, 4)) > much);  // the slowest of four each
  CHECK(much == step(plan, cluster(0.3)));    // the same seed, the same chips
}

TEST_CASE("event training: uneven experts hold the whole group up as the most loaded rank would") {
  for (const auto& [schedule, chunks] : kSchedules) {
    CAPTURE(to_string(schedule));
    auto plan = full_plan(schedule, chunks);
    for (auto& stage : plan.stages) {
      for (auto& piece : stage.pieces) {
        for (auto* pass : {&piece.forward, &piece.backward_input, &piece.backward_weight}) {
          pass->experts = 0.5 * pass->compute;
        }
      }
    }
    // The plan counts experts at the most loaded rank's share; on average a rank computes less, but
    // meets the others after every pass.
    const double symmetric = step(plan);
    UnevenExperts experts;
    experts.max_over_mean = 1.5;
    const auto options = full_cluster(plan, {.ep = 8, .dp = 8}, 0.0, experts);
    const auto played = play_training(plan, options);
    CHECK(played.step().raw() <= symmetric * (1 + 1e-12));
    CHECK(played.step().raw() > 0.93 * symmetric);  // weight gradients and hosts do not meet
    double compute = 0;
    for (const auto& rank : played.ranks) compute += rank.compute / 8;
    double whole = 0;
    for (const auto& rank : play_training(plan).ranks) whole += rank.compute;
    // Half of the compute is experts, at 1/1.5 of the most loaded rank's on average.
    CHECK(compute / whole == doctest::Approx(0.5 + 0.5 / 1.5).epsilon(0.05));
    CHECK(played.step().raw() == play_training(plan, options).step().raw());
  }
}

TEST_CASE("event training: no rank has more than all tokens") {
  UnevenExperts experts;
  experts.max_over_mean = 9;
  CHECK_THROWS_AS(
      (void)full_cluster(full_plan(Schedule::one_f_one_b, 1), {.ep = 8, .dp = 8}, 0.0, experts),
      Error);
}

TEST_CASE("event training: DualPipe's phases are counted and timed on the slowest rank") {
  auto plan = full_plan(Schedule::dualpipe, 1);
  for (auto& stage : plan.stages) {
    stage = plan.stages[0];
  }
  plan.p2p_overlap = 1;
  const auto played = play_training(plan);
  const auto time = time_of(played, plan);
  const auto& passes = played.passes[time.slowest];
  CHECK(time.pairs + time.lone_passes == 12);
  CHECK(time.pairs == static_cast<double>(passes[static_cast<std::size_t>(Pass::pair)].count));
  CHECK(time.pair.raw() < time.lone_forward.raw() + time.lone_backward.raw());
  double slots = 0;
  for (const auto& pass : passes) {
    slots += pass.seconds;
  }
  CHECK(slots == doctest::Approx((time.pipeline_busy + time.host - plan.host_per_step).raw()));
}
