#include "jevons/sim/pipeline.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace jevons;
using namespace jevons::sim;

namespace {

std::vector<RankTimes> even(long stages, double f, double b, double w, double pair = 0) {
  return std::vector<RankTimes>(static_cast<std::size_t>(stages),
                                {Seconds(f), Seconds(b), Seconds(w), Seconds(pair)});
}
double total(Schedule schedule, long chunks, double n, const std::vector<RankTimes>& ranks) {
  return pipeline_time({schedule, chunks, n, Seconds(0), 1}, ranks).total.raw();
}

}  // namespace

TEST_CASE("even stages give the published bubbles") {
  const auto ranks = even(8, 1, 2, 1);
  CHECK(total(Schedule::gpipe, 1, 32, ranks) == doctest::Approx(32 * 3 + 7 * 3));
  CHECK(total(Schedule::one_f_one_b, 1, 32, ranks) == doctest::Approx(32 * 3 + 7 * 3));
  CHECK(total(Schedule::interleaved, 4, 32, ranks) == doctest::Approx(32 * 3 + 7 * 3 / 4.0));
  // (P - 1)(F + B - 2W) = 7 x 1.
  CHECK(total(Schedule::zb_h1, 1, 32, ranks) == doctest::Approx(32 * 3 + 7));
}

TEST_CASE("DualPipe with the measured phases of DeepSeek-V3 has its published bubble and pairs") {
  // Insights paper, Table 4: F 49.1 ms, input gradient 86.5 ms, W 32.0 ms, pair 143.8 ms, P 16,
  // n 120. The bubble of the published formula is 7 x (143.8 + 118.5 - 96.0) = 1.164 s.
  const auto time = pipeline_time({Schedule::dualpipe, 1, 120, Seconds(0), 1},
                                  even(16, 0.0491, 0.1185, 0.0320, 0.1438));
  CHECK(time.pairs == 97);
  CHECK(time.lone_passes == 23);
  CHECK(time.bubble.raw() == doctest::Approx(1.164).epsilon(0.001));
}

TEST_CASE("the other schedules with the V3 phases have the published bubbles") {
  const auto ranks = even(16, 0.0491, 0.1185, 0.0320);
  // 15 x 167.6 ms = 2.51 s; 15 x (167.6 - 64.0) = 1.55 s.
  CHECK(pipeline_time({Schedule::one_f_one_b, 1, 120, Seconds(0), 1}, ranks).bubble.raw() ==
        doctest::Approx(2.51).epsilon(0.005));
  CHECK(pipeline_time({Schedule::zb_h1, 1, 120, Seconds(0), 1}, ranks).bubble.raw() ==
        doctest::Approx(1.55).epsilon(0.005));
}

TEST_CASE("a slower stage sets the pace and the others only fill the pipeline") {
  auto ranks = even(4, 1, 2, 1);
  ranks[3].forward = Seconds(2);
  CHECK(total(Schedule::one_f_one_b, 1, 10, ranks) == doctest::Approx(10 * 4 + 3 * 3));
}

TEST_CASE("one stage has neither bubble nor sends") {
  const auto time = pipeline_time({Schedule::one_f_one_b, 1, 5, Seconds(1), 0}, even(1, 1, 2, 1));
  CHECK(time.total.raw() == doctest::Approx(15));
  CHECK(time.bubble.raw() == 0.0);
  CHECK(time.p2p.raw() == 0.0);
}

TEST_CASE("activations in flight follow the schedule") {
  CHECK(in_flight(Schedule::one_f_one_b, 8, 1, 64, 0) == 8);
  CHECK(in_flight(Schedule::one_f_one_b, 8, 1, 64, 7) == 1);
  CHECK(in_flight(Schedule::gpipe, 8, 1, 64, 3) == 64);
  // First rank: P (v - 1) + 2P - 1 chunks = P (1 + (P - 1)/(P v)) micro-batches of v chunks.
  CHECK(in_flight(Schedule::interleaved, 8, 4, 64, 0) == doctest::Approx(8 * (1 + 7 / 32.0)));
  CHECK(in_flight(Schedule::dualpipe, 16, 1, 120, 5) == 17);
}
