#include "jevons/core/precision.hpp"

#include "jevons/core/error.hpp"

#include <doctest/doctest.h>

using namespace jevons;

TEST_CASE("formats: bytes per element include the scales of the public definitions") {
  CHECK(weight_bytes({Format::mxfp8}) == doctest::Approx(33.0 / 32));  // OCP MX: 32 + 1 bytes
  CHECK(weight_bytes({Format::nvfp4}) == doctest::Approx(9.0 / 16));   // 8 + 1 bytes per 16
  CHECK(weight_bytes({Format::mxfp4}) == doctest::Approx(17.0 / 32));  // 16 + 1 bytes per 32
  // DeepSeek-V3: one fp32 scale for 128 activations; 7168 elements take 7168 + 56 * 4 = 7392 bytes.
  CHECK(activation_bytes({Format::fp8_block}) * 7168 == doctest::Approx(7392));
  CHECK(payload_bits({Format::ternary}) == doctest::Approx(1.58).epsilon(0.005));
}

TEST_CASE("formats: every name reads back") {
  for (const char* name : {"fp32", "tf32", "bf16", "fp16", "fp8", "fp8-block", "mxfp8", "mxfp6",
                           "mxfp4", "nvfp4", "int8", "int4", "ternary"}) {
    CHECK(to_string(format_from_string(name, "")) == name);
  }
  CHECK(payload_bits(format_from_string("4.25", "")) == doctest::Approx(4.25));
  CHECK_THROWS_AS((void)format_from_string("fp7", "/precision"), Error);
  CHECK_THROWS_AS((void)format_from_string("-3", "/precision"), Error);
}

TEST_CASE("presets: DeepSeek-V3's recipe has bf16 moments, fp8 dispatch and bf16 combine") {
  const Precision p = precision_preset("fp8-block", "");
  CHECK(p.moments.format == Format::bf16);
  CHECK(is_float8(p.dispatch));
  CHECK(p.combine.format == Format::bf16);
  CHECK(p.gradients.format == Format::fp32);
  CHECK(p.master.format == Format::fp32);
}

TEST_CASE("presets: all of the contract exist and an unknown one lists them") {
  for (const std::string& name : precision_presets())
    CHECK(precision_preset(name, "").preset == name);
  try {
    (void)precision_preset("fp9", "/precision");
    FAIL("no error");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("mxfp8") != std::string::npos);
  }
}
