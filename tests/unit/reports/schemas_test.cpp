#include "jevons/reports/schemas.hpp"

#include "jevons/core/error.hpp"
#include "jevons/core/json_reader.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

using namespace jevons;
using namespace jevons::reports;

TEST_CASE("schemas: every one is JSON, closed to unknown keys and named after its format") {
  CHECK(schema_names().size() == 8);
  for (const std::string& name : schema_names()) {
    const Json document = parse_json(schema(name), name);
    CHECK(document.at("additionalProperties") == false);
    CHECK(document.at("title").get<std::string>().starts_with("jevons."));
  }
}

TEST_CASE("schemas: an unknown name is answered with the nearest") {
  try {
    (void)schema("scenaro");
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("'scenario'") != std::string::npos);
  }
}
