// The measured cases are the largest set of real scenarios there is: all of them must be readable.
#include "jevons/core/error.hpp"
#include "jevons/reports/scenario_json.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <filesystem>
#include <map>

using jevons::Json;

namespace {

/// Cases whose layout contradicts itself; id → what the message must say.
const std::map<std::string, std::string> kImpossible{};

}  // namespace

TEST_CASE("every measured scenario is read, and written back it reads the same") {
  const std::filesystem::path folder = std::string(JEVONS_SOURCE_DIR) + "/tests/truth";
  const jevons::hwmodels::Catalogue catalogue;
  long read = 0, wrong = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    const std::string file = entry.path().string();
    const Json document = jevons::parse_json(jevons::read_text_file(file), file);
    for (const Json& item : document.at("cases")) {
      const std::string id = item.at("id").get<std::string>();
      const auto impossible = kImpossible.find(id);
      try {
        const auto scenario =
            jevons::reports::read_scenario(item.at("scenario"), file + "#" + id, catalogue);
        const Json written = jevons::reports::write_scenario(scenario);
        const auto again = jevons::reports::read_scenario(written, "resolved " + id, catalogue);
        if (jevons::reports::write_scenario(again) != written) {
          FAIL_CHECK("not the same when read back: " << id);
        }
        ++read;
        CHECK_MESSAGE(impossible == kImpossible.end(), id << " was read");
      } catch (const jevons::Error& error) {
        const bool expected = impossible != kImpossible.end() &&
                              error.message().find(impossible->second) != std::string::npos;
        if (!expected && ++wrong <= 20) FAIL_CHECK(std::string(error.what()));
      }
    }
  }
  CHECK(wrong == 0);
  MESSAGE("scenarios read: " << read);
}
