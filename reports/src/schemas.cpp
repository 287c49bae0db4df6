#include "jevons/reports/schemas.hpp"

#include "jevons/core/error.hpp"
#include "jevons/core/json_reader.hpp"
#include "jevons/reports/embedded.hpp"

namespace jevons::reports {
namespace {

constexpr std::string_view kSuffix = ".schema.json";

}  // namespace

std::vector<std::string> schema_names() {
  std::vector<std::string> names;
  for (const EmbeddedFile& file : schema_files()) {
    names.emplace_back(file.path.substr(0, file.path.size() - kSuffix.size()));
  }
  return names;
}

std::string_view schema(std::string_view name) {
  for (const EmbeddedFile& file : schema_files()) {
    if (file.path == std::string(name) + std::string(kSuffix)) return file.text;
  }
  throw bad_input("schema", "unknown schema '" + std::string(name) + "'",
                  did_you_mean(name, schema_names()));
}

}  // namespace jevons::reports
