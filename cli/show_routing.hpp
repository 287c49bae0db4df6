// The routing model on the experts of one model, as text and as JSON.
#pragma once

#include "jevons/core/json_reader.hpp"

#include <string>
#include <utility>

namespace jevons::cli {

/// Throws Error(bad_input) for a model without routed experts.
[[nodiscard]] std::pair<std::string, Json> show_routing(const std::string& model);

}  // namespace jevons::cli
