// A result as `jevons.result/1` JSON (contract section 2).
#pragma once

#include "jevons/core/json_reader.hpp"
#include "jevons/sim/result.hpp"

namespace jevons::reports {

/// No NaN or Infinity is written: such a metric becomes null and a warning says why.
[[nodiscard]] Json result_to_json(const sim::Result& result);

}  // namespace jevons::reports
