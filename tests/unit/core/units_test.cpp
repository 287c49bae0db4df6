#include "jevons/core/units.hpp"

#include <doctest/doctest.h>

using namespace jevons;

TEST_CASE("units: bytes over bandwidth are seconds") {
  const Seconds time = Bytes(3.35e12) / Bandwidth(3.35e12);
  CHECK(time.raw() == doctest::Approx(1.0));
}

TEST_CASE("units: a ratio of equal dimensions is a plain number") {
  const double ratio = Seconds(4.0) / Seconds(2.0);
  CHECK(ratio == doctest::Approx(2.0));
}
