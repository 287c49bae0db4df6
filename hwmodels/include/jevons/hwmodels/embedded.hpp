// The data files compiled into this module.
#pragma once

#include "jevons/core/embedded.hpp"

namespace jevons::hwmodels {

[[nodiscard]] std::span<const EmbeddedFile> data_files();

}  // namespace jevons::hwmodels
