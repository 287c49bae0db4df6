#pragma once

#include "jevons/sim/schedule.hpp"

namespace jevons::sim {

/// `ranks` and `micro_batches` even, at least 2 · ranks micro-batches.
[[nodiscard]] Program dualpipe_program(long ranks, long micro_batches);

}  // namespace jevons::sim
