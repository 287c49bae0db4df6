#include "jevons/hwmodels/catalogue.hpp"
#include "jevons/hwmodels/embedded.hpp"

namespace jevons::hwmodels {

std::string_view data_file(std::string_view path) {
  for (const EmbeddedFile& file : data_files()) {
    if (file.path == path) return file.text;
  }
  return {};
}

}  // namespace jevons::hwmodels
