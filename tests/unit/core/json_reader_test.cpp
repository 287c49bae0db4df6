#include "jevons/core/json_reader.hpp"

#include "jevons/core/error.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <random>

using namespace jevons;

namespace {

/// The text of the error that `body` throws; fails the test when it throws none.
template <class Body>
std::string error_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::bad_input);
    return error.what();
  }
  FAIL("no error was thrown");
  return {};
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("json: malformed text is refused with line and column") {
  const std::string text = error_of([] { (void)parse_json("{\n  \"a\": 1,\n}", "s.json"); });
  CHECK(contains(text, "s.json"));
  CHECK(contains(text, "line 3"));
}

TEST_CASE("json: a key that appears twice is refused, not silently overwritten") {
  CHECK(contains(error_of([] { (void)parse_json(R"({"a":{"b":1,"b":2}})", "s"); }),
                 "'b' appears twice"));
  CHECK_NOTHROW((void)parse_json(R"({"a":{"b":1},"c":{"b":2}})", "s"));
}

TEST_CASE("json: nesting deeper than 64 levels is refused") {
  CHECK(contains(error_of([] { (void)parse_json(std::string(100, '['), "s"); }), "nested deeper"));
  CHECK(contains(error_of([] { (void)parse_json(std::string(1000000, '['), "s"); }),
                 "nested deeper"));
}

TEST_CASE("json: a number beyond the range of a double is refused") {
  CHECK_THROWS_AS((void)parse_json(R"({"a":1e999})", "s"), Error);
}

TEST_CASE("json: no byte string crashes the parser") {
  std::mt19937 random(7);
  const std::string alphabet = "{}[]\",:0123456789eE+-.truefalsn\\u \n\xff";
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    const auto size = random() % 40;
    for (unsigned j = 0; j < size; ++j) text += alphabet[random() % alphabet.size()];
    try {
      (void)parse_json(text, "fuzz");
    } catch (const Error& error) {
      CHECK(error.exit_code() == 3);
    }
  }
}

TEST_CASE("reader: an unknown key is named with the nearest known one") {
  const Json document =
      parse_json(R"({"count": 8, "acelerator": "h100-sxm", "x_note": 1})", "s.json");
  ObjectReader reader(document, "s.json");
  (void)reader.integer("count", 1, 100);
  (void)reader.optional_string("accelerator");
  const std::string text = error_of([&] { reader.finish(); });
  CHECK(contains(text, "s.json: /acelerator"));
  CHECK(contains(text, "did you mean 'accelerator'"));
}

TEST_CASE("reader: keys that begin with x_ are carried along") {
  const Json document = parse_json(R"({"x_a": 1})", "s");
  CHECK_NOTHROW(ObjectReader(document, "s").finish());
}

TEST_CASE("reader: an error gives pointer, what was read and what is allowed") {
  const Json document = parse_json(R"({"train": {"tokens": -5, "a/b": "x"}})", "s.json");
  ObjectReader reader(document, "s.json");
  ObjectReader train = reader.object("train");
  const std::string text = error_of([&] { (void)train.number("tokens", kPositive); });
  CHECK(contains(text, "s.json: /train/tokens"));
  CHECK(contains(text, "read -5"));
  CHECK(contains(text, "greater than 0"));
  CHECK(contains(error_of([&] { (void)train.number("a/b"); }), "/train/a~1b"));
}

TEST_CASE("reader: a whole number is asked for as such") {
  const Json document = parse_json(R"({"tp": 2.5, "pp": 1e3, "big": 1e17})", "s");
  ObjectReader reader(document, "s");
  CHECK(contains(error_of([&] { (void)reader.integer("tp", 1, 1024); }), "whole number"));
  CHECK(reader.integer("pp", 1, 1024) == 1000);
  CHECK(contains(error_of([&] { (void)reader.integer("big", 1, 1024); }), "at most 1024"));
}

TEST_CASE("units: numbers as people write them") {
  CHECK(parse_quantity("14.8T", UnitKind::count, "") == doctest::Approx(14.8e12));
  CHECK(parse_quantity("671B", UnitKind::count, "") == doctest::Approx(671e9));
  CHECK(parse_quantity("3.35TB/s", UnitKind::bytes_per_s, "") == doctest::Approx(3.35e12));
  CHECK(parse_quantity("400Gb/s", UnitKind::bytes_per_s, "") == doctest::Approx(50e9));
  CHECK(parse_quantity("80GiB", UnitKind::bytes, "") == doctest::Approx(80.0 * 1073741824.0));
  CHECK(parse_quantity("80 GB", UnitKind::bytes, "") == doctest::Approx(80e9));
  CHECK(parse_quantity("2.5ms", UnitKind::seconds, "") == doctest::Approx(2.5e-3));
  CHECK(parse_quantity("3h", UnitKind::seconds, "") == doctest::Approx(10800));
  CHECK(parse_quantity("0.7kW", UnitKind::watts, "") == doctest::Approx(700));
}

TEST_CASE("units: a wrong unit is refused, with an example of a right one") {
  CHECK(contains(error_of([] { (void)parse_quantity("80GB", UnitKind::seconds, "/a"); }), "2.5ms"));
  for (const char* bad : {"", "GB", "80 XB", "80GBB", "nanB", "infs", "80mB", "1e400B", "80G B"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS((void)parse_quantity(bad, UnitKind::bytes, "/a"), Error);
  }
}

TEST_CASE("names: the nearest ones come first") {
  const std::vector<std::string> names{"h100-sxm", "h100-pcie", "h200-sxm", "mi300x"};
  CHECK(nearest("h100sxm", names).front() == "h100-sxm");
  CHECK(nearest("MI300X", names).front() == "mi300x");
  const std::vector<std::string> figures{"scale_out_bytes_per_s", "memory_bandwidth_bytes_per_s"};
  CHECK(nearest("memory_bytes_per_s", figures).front() == "memory_bandwidth_bytes_per_s");
  CHECK(contains(did_you_mean("zzzzzzzzzzzz", names), "allowed: h100-sxm, h100-pcie"));
}
