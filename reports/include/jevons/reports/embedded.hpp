// The files compiled into this module.
#pragma once

#include "jevons/core/embedded.hpp"

namespace jevons::reports {

[[nodiscard]] std::span<const EmbeddedFile> schema_files();

}  // namespace jevons::reports
