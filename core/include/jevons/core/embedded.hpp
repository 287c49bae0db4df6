// Data files compiled into the binary. Each module that ships data has its own table, made by
// CMake.
#pragma once

#include <span>
#include <string_view>

namespace jevons {

struct EmbeddedFile {
  std::string_view path;  ///< relative to the module's data folder, "accelerators/h100-sxm.json"
  std::string_view text;
};

}  // namespace jevons
