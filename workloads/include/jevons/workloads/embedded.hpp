// The data files compiled into this module.
#pragma once

#include "jevons/core/embedded.hpp"

namespace jevons::workloads {

[[nodiscard]] std::span<const EmbeddedFile> data_files();        ///< models
[[nodiscard]] std::span<const EmbeddedFile> acceptance_files();  ///< of draft tokens

}  // namespace jevons::workloads
