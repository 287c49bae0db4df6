#include "jevons/sim/schedule.hpp"

#include "jevons/core/error.hpp"
#include "jevons/sim/event_train.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

using namespace jevons;
using namespace jevons::sim;

namespace {

// Even stages, one piece each, free communication; times per rank and micro-batch.
TrainingPlan even_plan(Schedule schedule, long ranks, long chunks, long micro_batches, double f,
                       double b_input, double w) {
  TrainingPlan plan;
  plan.schedule = schedule;
  plan.ranks = ranks;
  plan.chunks = chunks;
  plan.micro_batches = micro_batches;
  PieceTimes piece;
  const auto share = [&](double seconds) { return Seconds(seconds / static_cast<double>(chunks)); };
  piece.forward.compute = share(f);
  piece.backward_input.compute = share(b_input);
  piece.backward_weight.compute = share(w);
  plan.stages.assign(static_cast<std::size_t>(ranks * chunks), {});
  for (auto& stage : plan.stages) {
    stage.pieces = {piece};
    stage.kept = Bytes(1.0 / static_cast<double>(chunks));
  }
  return plan;
}

double bubble(const TrainingPlan& plan) {
  const auto played = play_training(plan);
  return played.ranks[0].bubble;
}

long count(const std::vector<Slot>& slots, Pass pass) {
  return std::count_if(slots.begin(), slots.end(), [&](const auto& s) { return s.pass == pass; });
}

struct Shape {
  Schedule schedule;
  long ranks, chunks, micro_batches;
};

std::vector<Shape> shapes() {
  std::vector<Shape> out;
  for (const long p : {1L, 2L, 3L, 4L, 8L}) {
    for (const long n : {1L, 2L, 3L, 7L, 8L, 12L, 17L, 24L}) {
      out.push_back({Schedule::gpipe, p, 1, n});
      out.push_back({Schedule::one_f_one_b, p, 1, n});
      out.push_back({Schedule::zb_h1, p, 1, n});
      for (const long v : {1L, 2L, 3L, 5L}) {
        out.push_back({Schedule::interleaved, p, v, n});
      }
      if (p % 2 == 0 && n % 2 == 0 && n >= 2 * p) {
        out.push_back({Schedule::dualpipe, p, 1, n});
      }
    }
  }
  return out;
}

}  // namespace

TEST_CASE("schedules: every micro-batch goes forward, backward and weight once on each stage") {
  for (const auto& [schedule, ranks, chunks, n] : shapes()) {
    CAPTURE(to_string(schedule));
    CAPTURE(ranks);
    CAPTURE(chunks);
    CAPTURE(n);
    const auto program = make_program(schedule, ranks, chunks, n);
    using Key = std::tuple<int, int, long>;
    std::map<Key, int> state;  // 1 forward done, 2 input gradient done, 3 weight gradient done
    std::map<std::pair<int, int>, long> last_backward;
    const auto step = [&](Work work, int from, int to) {
      auto& at = state[{work.lane, work.stage, work.micro_batch}];
      REQUIRE(at == from);
      at = to;
      if (from == 1) {  // backwards of a stage come in the order of the micro-batches
        auto [it, fresh] = last_backward.try_emplace({work.lane, work.stage}, -1);
        REQUIRE(it->second < static_cast<long>(work.micro_batch));
        it->second = work.micro_batch;
      }
    };
    for (long rank = 0; rank < ranks; ++rank) {
      for (const auto& slot : program.by_rank[static_cast<std::size_t>(rank)]) {
        REQUIRE(program.rank_of(slot.work.lane, slot.work.stage) == rank);
        switch (slot.pass) {
          case Pass::forward: step(slot.work, 0, 1); break;
          case Pass::backward: step(slot.work, 1, 3); break;
          case Pass::backward_input: step(slot.work, 1, 2); break;
          case Pass::backward_weight: step(slot.work, 2, 3); break;
          case Pass::pair:
            step(slot.work, 0, 1);
            step(slot.backward, 1, 3);
            break;
        }
      }
    }
    REQUIRE(static_cast<long>(state.size()) == program.stages * n);
    REQUIRE(std::all_of(state.begin(), state.end(), [](auto& s) { return s.second == 3; }));
  }
}

TEST_CASE("schedules: every program plays to its end, no shorter than its work") {
  for (const auto& [schedule, ranks, chunks, n] : shapes()) {
    CAPTURE(to_string(schedule));
    CAPTURE(ranks);
    CAPTURE(chunks);
    CAPTURE(n);
    const auto plan = even_plan(schedule, ranks, chunks, n, 1.0, 1.0, 1.0);
    const auto played = play_training(plan);
    // The first micro-batch goes down and up, and a rank does all its work.
    REQUIRE(played.timeline.makespan_s > 3.0 * static_cast<double>(n) - 1e-9);
    REQUIRE(played.timeline.makespan_s > 2.0 * static_cast<double>(ranks) - 1e-9);
  }
}

TEST_CASE("schedules: the bubble with even stages and free communication is the published one") {
  const double f = 1.0, b_input = 1.1, w = 0.8;
  const EvenTimes times{Seconds(f), Seconds(b_input + w), Seconds(w), Seconds(f + b_input + w)};
  // DualPipe's closed form is drawn for a forward as long as an input gradient.
  const EvenTimes even{Seconds(f), Seconds(f + w), Seconds(w), Seconds(2 * f + w)};
  for (const auto& [schedule, ranks, chunks, n] :
       {Shape{Schedule::gpipe, 4, 1, 12}, Shape{Schedule::gpipe, 16, 1, 32},
        Shape{Schedule::one_f_one_b, 4, 1, 12}, Shape{Schedule::one_f_one_b, 16, 1, 120},
        Shape{Schedule::one_f_one_b, 16, 1, 16}, Shape{Schedule::interleaved, 4, 2, 12},
        Shape{Schedule::interleaved, 8, 4, 64}, Shape{Schedule::interleaved, 8, 6, 8},
        Shape{Schedule::zb_h1, 4, 1, 12}, Shape{Schedule::zb_h1, 16, 1, 120},
        Shape{Schedule::dualpipe, 4, 1, 12}, Shape{Schedule::dualpipe, 8, 1, 20},
        Shape{Schedule::dualpipe, 16, 1, 120}, Shape{Schedule::dualpipe, 16, 1, 32}}) {
    CAPTURE(to_string(schedule));
    CAPTURE(ranks);
    CAPTURE(chunks);
    CAPTURE(n);
    const bool dual = schedule == Schedule::dualpipe;
    const auto plan = even_plan(schedule, ranks, chunks, n, f, dual ? f : b_input, w);
    const auto expected = bubble_closed_form(schedule, ranks, chunks, dual ? even : times);
    CHECK(bubble(plan) == doctest::Approx(expected.raw()).epsilon(1e-3));
  }
}

TEST_CASE("schedules: DualPipe's bubble counts an overlapped pair by its own length") {
  // All-to-all 0.3 each way, hidden in pairs, exposed alone: F = 1.3, B = 1.0 + 0.8 + 0.3,
  // pair 2.8.
  auto plan = even_plan(Schedule::dualpipe, 16, 1, 120, 1.0, 1.0, 0.8);
  for (auto& stage : plan.stages) {
    stage.pieces[0].forward.ep.exposed = Seconds(0.3);
    stage.pieces[0].backward_input.ep.exposed = Seconds(0.3);
  }
  const auto played = play_training(plan);
  // Rank 0: 97 pairs, 23 lone forwards, 23 lone backwards.
  const double busy = 97 * 2.8 + 23 * 1.3 + 23 * 2.1;
  CHECK(played.ranks[0].compute + played.ranks[0].exposed_comm == doctest::Approx(busy));
  // The middle ranks run the most pairs; the closed form is theirs.
  const EvenTimes times{Seconds(1.3), Seconds(2.1), Seconds(0.8), Seconds(2.8)};
  CHECK(played.ranks[7].bubble ==
        doctest::Approx(bubble_closed_form(Schedule::dualpipe, 16, 1, times).raw()).epsilon(1e-3));
}

TEST_CASE("schedules: DualPipe's bubble falls short of its closed form when F < B - W") {
  // Played from the published steps it is (P/2 − 1)(2 F + Bi − W) while 8/7 F > Bi > F (P = 16):
  // the middle ranks then never wait for their first backward. The closed form says F + 2 Bi − W.
  const double f = 1.0, b_input = 1.1, w = 0.8;
  CHECK(bubble(even_plan(Schedule::dualpipe, 16, 1, 120, f, b_input, w)) ==
        doctest::Approx(7 * (2 * f + b_input - w)));
}

TEST_CASE("schedules: rank 0 of DeepSeek-V3's DualPipe runs the published number of each pass") {
  const auto program = make_program(Schedule::dualpipe, 16, 1, 120);
  const auto& slots = program.by_rank[0];
  CHECK(count(slots, Pass::pair) == 97);
  CHECK(count(slots, Pass::forward) == 23);
  CHECK(count(slots, Pass::backward) + count(slots, Pass::backward_input) == 23);
  CHECK(count(slots, Pass::backward) == 8);
  CHECK(count(slots, Pass::backward_weight) == 15);
}

TEST_CASE("schedules: activations in flight are those of the table") {
  CHECK(peak_in_flight(make_program(Schedule::gpipe, 4, 1, 12), 0) == 12);
  CHECK(peak_in_flight(make_program(Schedule::one_f_one_b, 8, 1, 32), 0) == 8);
  CHECK(peak_in_flight(make_program(Schedule::one_f_one_b, 8, 1, 32), 5) == 3);
  // P (1 + (P - 1)/(P v)) on the first rank: 8 (1 + 7/32) = 9.75
  CHECK(peak_in_flight(make_program(Schedule::interleaved, 8, 4, 32), 0) == doctest::Approx(9.75));
  for (long rank = 0; rank < 8; ++rank) {
    CHECK(peak_in_flight(make_program(Schedule::zb_h1, 8, 1, 32), rank) == 8);
    CHECK(peak_in_flight(make_program(Schedule::dualpipe, 8, 1, 32), rank) <= 9);
  }
  CHECK(peak_in_flight(make_program(Schedule::dualpipe, 8, 1, 32), 0) == 9);
}

TEST_CASE("schedules: the memory along the timeline peaks at the activations in flight") {
  for (const auto schedule : {Schedule::gpipe, Schedule::one_f_one_b, Schedule::interleaved,
                              Schedule::zb_h1, Schedule::dualpipe}) {
    const long chunks = schedule == Schedule::interleaved ? 3 : 1;
    const auto played = play_training(even_plan(schedule, 4, chunks, 12, 1.0, 1.1, 0.8));
    const auto program = make_program(schedule, 4, chunks, 12);
    for (long rank = 0; rank < 4; ++rank) {
      CHECK(played.memory_peak_bytes[static_cast<std::size_t>(rank)] ==
            doctest::Approx(peak_in_flight(program, rank)));
    }
  }
}

TEST_CASE("schedules: passes of no length are played too") {
  CHECK(bubble(even_plan(Schedule::zb_h1, 4, 1, 12, 1.0, 1.0, 0.0)) == doctest::Approx(3 * 2.0));
  CHECK(play_training(even_plan(Schedule::dualpipe, 4, 1, 12, 0, 0, 0)).step().raw() == 0.0);
}

TEST_CASE("schedules: sizes that a schedule cannot have are bad input") {
  CHECK_THROWS_AS((void)make_program(Schedule::dualpipe, 3, 1, 12), Error);
  CHECK_THROWS_AS((void)make_program(Schedule::dualpipe, 8, 1, 14), Error);
  CHECK_THROWS_AS((void)make_program(Schedule::dualpipe, 4, 1, 9), Error);
  CHECK_THROWS_AS((void)make_program(Schedule::one_f_one_b, 4, 2, 8), Error);
}
