// Every code of every small float against the tables of its public definition.
#include "jevons/reference/formats.hpp"

#include "random.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>

using namespace jevons::reference;

namespace {

/// Independent decoding by integer arithmetic: value · 2^(bias + M - 1) as a whole number.
long long units(std::uint32_t code, int exponent_bits, int mantissa_bits) {
  const std::uint32_t mantissa = code & ((1U << mantissa_bits) - 1);
  const std::uint32_t exponent = (code >> mantissa_bits) & ((1U << exponent_bits) - 1);
  const long long magnitude =
      exponent == 0 ? mantissa
                    : static_cast<long long>((1U << mantissa_bits) + mantissa) << (exponent - 1);
  return (code >> (exponent_bits + mantissa_bits)) & 1U ? -magnitude : magnitude;
}

/// Nearest code by looking at all of them; ties go to the even mantissa.
std::uint32_t search(SmallFloat f, double value) {
  std::uint32_t best = 0;
  double distance = INFINITY;
  for (std::uint32_t code = 0; code < (1U << f.bits()); ++code) {
    const double v = decode(f, code);
    if (!std::isfinite(v) || std::signbit(v) != std::signbit(value)) continue;
    const double d = std::abs(v - value);
    if (d < distance || (d == distance && code % 2 == 0)) {
      distance = d;
      best = code;
    }
  }
  return best;
}

}  // namespace

TEST_CASE("formats: all codes of all formats decode to the definition's values") {
  for (const SmallFloat f : {kE4M3, kE5M2, kE2M1, kE3M2, kE2M3}) {
    CAPTURE(f.name);
    for (std::uint32_t code = 0; code < (1U << f.bits()); ++code) {
      const double v = decode(f, code);
      if (!std::isfinite(v)) continue;
      const auto whole = static_cast<double>(units(code, f.exponent_bits, f.mantissa_bits));
      CHECK(v == std::ldexp(whole, 1 - f.bias - f.mantissa_bits));
    }
  }
}

TEST_CASE("formats: the landmarks of OCP FP8 table 1 and OCP MX section 5.3") {
  CHECK(largest(kE4M3) == 448.0);
  CHECK(decode(kE4M3, 0x01) == std::ldexp(1.0, -9));  // smallest subnormal
  CHECK(decode(kE4M3, 0x08) == std::ldexp(1.0, -6));  // smallest normal
  CHECK(decode(kE4M3, 0x07) == 0.875 * std::ldexp(1.0, -6));
  CHECK(std::isnan(decode(kE4M3, 0x7F)));
  CHECK(std::isnan(decode(kE4M3, 0xFF)));
  CHECK(largest(kE5M2) == 57344.0);
  CHECK(decode(kE5M2, 0x01) == std::ldexp(1.0, -16));
  CHECK(decode(kE5M2, 0x04) == std::ldexp(1.0, -14));
  CHECK(std::isinf(decode(kE5M2, 0x7C)));
  for (const std::uint32_t nan : {0x7DU, 0x7EU, 0x7FU}) CHECK(std::isnan(decode(kE5M2, nan)));
  const double fp4[8] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  for (std::uint32_t code = 0; code < 8; ++code) {
    CHECK(decode(kE2M1, code) == fp4[code]);
    CHECK(decode(kE2M1, code + 8) == -fp4[code]);
  }
  CHECK(largest(kE3M2) == 28.0);
  CHECK(largest(kE2M3) == 7.5);
  CHECK(decode_e8m0(127) == 1.0);
  CHECK(decode_e8m0(0) == std::ldexp(1.0, -127));
  CHECK(std::isnan(decode_e8m0(255)));
}

TEST_CASE("formats: every code survives a round trip, signs of zero included") {
  for (const SmallFloat f : {kE4M3, kE5M2, kE2M1, kE3M2, kE2M3}) {
    for (std::uint32_t code = 0; code < (1U << f.bits()); ++code) {
      const double v = decode(f, code);
      if (std::isfinite(v)) CHECK(encode(f, v) == code);
    }
  }
  CHECK(std::isnan(decode(kE4M3, encode(kE4M3, NAN))));
  CHECK(std::isnan(decode(kE5M2, encode(kE5M2, NAN))));
}

TEST_CASE("formats: encoding is the nearest code, checked against a search over all codes") {
  std::mt19937 engine(3);
  for (const SmallFloat f : {kE4M3, kE5M2, kE2M1, kE3M2, kE2M3}) {
    CAPTURE(f.name);
    std::uniform_real_distribution<double> exponent(-f.bias - f.mantissa_bits - 3,
                                                    std::ilogb(largest(f)) + 1);
    for (int i = 0; i < 4000; ++i) {
      const double value = (i % 2 == 0 ? 1 : -1) * std::exp2(exponent(engine));
      CHECK(encode(f, value) == search(f, value));
    }
    // Halfway points between neighbours, where only the tie rule decides.
    for (std::uint32_t code = 0; code + 1 < (1U << (f.bits() - 1)); ++code) {
      const double low = decode(f, code), high = decode(f, code + 1);
      if (!std::isfinite(low) || !std::isfinite(high)) continue;
      CHECK(encode(f, (low + high) / 2) == (code % 2 == 0 ? code : code + 1));
      CHECK(encode(f, -(low + high) / 2) ==
            (1U << (f.bits() - 1) | (code % 2 == 0 ? code : code + 1)));
    }
    CHECK(rounded(f, 1e300) == largest(f));
    CHECK(rounded(f, -INFINITY) == -largest(f));
  }
}

TEST_CASE("formats: bf16 keeps the upper half of a float, ties to even") {
  CHECK(to_bf16(1.0F) == 1.0F);
  CHECK(to_bf16(1.0F + 0.00390625F) == 1.0F);           // 2^-8: tie, even below
  CHECK(to_bf16(1.0F + 3 * 0.00390625F) == 1.015625F);  // tie, even above
  CHECK(to_bf16(1.0F + 0.0040F) == 1.0078125F);
  CHECK(std::isnan(to_bf16(NAN)));
  CHECK(std::isinf(to_bf16(3.4e38F)));
}

TEST_CASE("formats: MX blocks use the definition's power-of-two scale and its error bound") {
  const auto values = random_matrix<float>(7, 100, 11, 3.0);  // ragged: 100 is not a multiple of 32
  for (const SmallFloat f : {kE4M3, kE5M2, kE2M1, kE3M2, kE2M3}) {
    CAPTURE(f.name);
    const BlockTensor t = quantise_mx(values, f);
    CHECK(t.scales.size() == 7 * 4);
    const auto back = t.dequantised();
    for (long r = 0; r < 7; ++r) {
      for (long c = 0; c < 100; ++c) {
        const double scale = t.scales[static_cast<std::size_t>(r * 4 + c / 32)];
        CHECK(std::exp2(std::round(std::log2(scale))) == scale);
        const double exact = static_cast<double>(values(r, c));
        // Half a step of the value's binade, half the smallest step below it; the top is clipped.
        const double step =
            std::exp2(-f.mantissa_bits) * std::max(std::abs(exact), scale * std::exp2(1 - f.bias));
        const double clipped = std::max(0.0, std::abs(exact) - scale * largest(f));
        CHECK(std::abs(static_cast<double>(back(r, c)) - exact) <= step / 2 + clipped + 1e-6);
      }
    }
  }
  CHECK(mx_scale(kE4M3, 448.0) == 127);
  CHECK(mx_scale(kE4M3, 1.0) == 127 - 8);
  CHECK(mx_scale(kE2M1, 6.0) == 127);
  CHECK(mx_scale(kE2M1, 0.0) == 0);
}

TEST_CASE("formats: storage per element is 8.25, 4.25 and 4.5 bits") {
  const auto values = random_matrix<float>(4, 512, 5);
  CHECK(quantise_mx(values, kE4M3).bits_per_element(8) == 8.25);
  CHECK(quantise_mx(values, kE2M1).bits_per_element(8) == 4.25);
  CHECK(quantise_nvfp4(values).bits_per_element(8) == 4.5);
}

TEST_CASE("formats: NVFP4's finer scales halve the squared error of MXFP4 or better") {
  const auto values = random_matrix<float>(32, 512, 9);
  const auto squared = [&](const Matrix<float>& back) {
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      sum += std::pow(static_cast<double>(back.data()[i] - values.data()[i]), 2);
    }
    return sum / static_cast<double>(values.size());
  };
  const double mx = squared(quantise_mx(values, kE2M1).dequantised());
  const double nv = squared(quantise_nvfp4(values).dequantised());
  CHECK(nv < 0.75 * mx);
  CHECK(nv > 0.002);
  CHECK(nv < 0.012);  // about 9.5 % relative on normal data
}

TEST_CASE("formats: DeepSeek tiles reach 448 in every tile and bring values back within 1/16") {
  const auto values = random_matrix<float>(130, 200, 21, 0.02);
  for (const auto& [rows, cols] : {std::pair{1L, 128L}, std::pair{128L, 128L}}) {
    const TiledTensor t = quantise_tiles(values, rows, cols);
    CHECK(t.scales.rows() == (130 + rows - 1) / rows);
    CHECK(t.scales.cols() == 2);
    float top = 0;
    for (const float v : t.values.data()) top = std::max(top, std::abs(v));
    CHECK(top == 448.0F);
    const auto back = t.dequantised();
    for (long r = 0; r < 130; ++r) {
      for (long c = 0; c < 200; ++c) {
        const float scale = t.scales(r / rows, c / cols);
        const float bound = std::max(std::abs(values(r, c)) / 16, scale / 1024) * 1.0001F;
        CHECK(std::abs(back(r, c) - values(r, c)) <= bound);
      }
    }
  }
}

TEST_CASE("formats: ternary weights pack five to a byte and come back") {
  const auto values = random_matrix<float>(13, 17, 2);
  const TernaryTensor t = quantise_ternary(values);
  CHECK(unpack_ternary(t.packed(), t.codes.size()) == t.codes);
  CHECK(t.packed().size() == (13 * 17 + 4) / 5);
  double mean = 0;
  for (const float v : values.data()) mean += std::abs(static_cast<double>(v));
  CHECK(t.scale == doctest::Approx(mean / (13 * 17)));
  for (std::size_t i = 0; i < t.codes.size(); ++i) {
    const double scaled = static_cast<double>(values.data()[i]) / t.scale;
    const int expected = scaled > 0.5 ? 1 : scaled < -0.5 ? -1 : 0;
    CHECK(t.codes[i] == expected);
  }
}
