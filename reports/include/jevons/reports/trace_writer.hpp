// A trace as Chrome JSON, which the Perfetto UI and chrome://tracing open.
//
// One process per rank, one thread per stream; complete slices ("X") in whole nanoseconds that
// never overlap on a track, flows ("s" to "f") between them, counters ("C"). Events come in the
// order of their time stamps, after the names.
#pragma once

#include "jevons/sim/timeline.hpp"

#include <string>

namespace jevons::reports {

/// Slices that vanish at a nanosecond are left out, flows that begin or end on one too.
[[nodiscard]] std::string trace_to_json(const sim::Trace& trace);

}  // namespace jevons::reports
