#include "jevons/reference/formats.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace jevons::reference {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

int top_exponent(SmallFloat f) {
  return (1 << f.exponent_bits) - 1;
}

std::uint32_t largest_code(SmallFloat f) {
  const auto mantissas = std::uint32_t{1} << f.mantissa_bits;
  if (f.infinity) return static_cast<std::uint32_t>(top_exponent(f)) * mantissas - 1;
  const std::uint32_t all = (static_cast<std::uint32_t>(top_exponent(f)) + 1) * mantissas - 1;
  return f.nan_at_top ? all - 1 : all;
}

double largest_magnitude(const Matrix<float>& m, long r0, long r1, long c0, long c1) {
  double out = 0.0;
  for (long r = r0; r < std::min(r1, m.rows()); ++r) {
    for (long c = c0; c < std::min(c1, m.cols()); ++c) {
      out = std::max(out, std::abs(static_cast<double>(m(r, c))));
    }
  }
  return out;
}

BlockTensor empty_blocks(const Matrix<float>& values, SmallFloat format, long block) {
  BlockTensor t;
  t.rows = values.rows();
  t.cols = values.cols();
  t.block = block;
  t.format = format;
  t.codes.resize(values.size());
  return t;
}

/// Codes of one block under its final scale.
void encode_block(BlockTensor& t, const Matrix<float>& values, long row, long first, double scale) {
  for (long c = first; c < std::min(first + t.block, t.cols); ++c) {
    const double scaled = scale > 0 ? static_cast<double>(values(row, c)) / scale : 0.0;
    t.codes[values.index(row, c)] = static_cast<std::uint8_t>(encode(t.format, scaled));
  }
}

}  // namespace

double decode(SmallFloat f, std::uint32_t code) {
  const auto mantissas = std::uint32_t{1} << f.mantissa_bits;
  const std::uint32_t mantissa = code & (mantissas - 1);
  const auto exponent =
      static_cast<int>((code >> f.mantissa_bits) & static_cast<std::uint32_t>(top_exponent(f)));
  const double sign = (code >> (f.bits() - 1)) & 1U ? -1.0 : 1.0;
  if (f.infinity && exponent == top_exponent(f)) {
    return mantissa == 0 ? sign * std::numeric_limits<double>::infinity() : kNan;
  }
  if (f.nan_at_top && exponent == top_exponent(f) && mantissa == mantissas - 1) return kNan;
  const double fraction = static_cast<double>(mantissa) / static_cast<double>(mantissas);
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - f.bias);
  return sign * std::ldexp(1.0 + fraction, exponent - f.bias);
}

double largest(SmallFloat f) {
  return decode(f, largest_code(f));
}

std::uint32_t encode(SmallFloat f, double value) {
  const std::uint32_t sign = std::signbit(value) ? std::uint32_t{1} << (f.bits() - 1) : 0U;
  if (std::isnan(value)) {
    const bool has_nan = f.infinity || f.nan_at_top;
    return has_nan ? (std::uint32_t{1} << (f.bits() - 1)) - 1 : largest_code(f);
  }
  const double magnitude = std::abs(value);
  if (magnitude >= largest(f)) return sign | largest_code(f);
  // The spacing of codes at this magnitude: that of its binade, or of the subnormals below.
  const int exponent = std::max(magnitude > 0 ? std::ilogb(magnitude) : 1 - f.bias, 1 - f.bias);
  const double units = std::ldexp(magnitude, f.mantissa_bits - exponent);
  const double whole = std::nearbyint(units);  // exact binary scaling; ties to even
  const auto mantissas = std::uint32_t{1} << f.mantissa_bits;
  const auto steps = static_cast<std::uint32_t>(whole);
  // `steps` counts spacings from zero of this binade's grid; a carry moves into the next exponent.
  const auto base = static_cast<std::uint32_t>(exponent + f.bias - 1) * mantissas;
  return sign | std::min(base + steps, largest_code(f));
}

double rounded(SmallFloat f, double value) {
  return decode(f, encode(f, value));
}

float to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return std::bit_cast<float>((bits | 0x400000U) & 0xFFFF0000U);
  const std::uint32_t odd = (bits >> 16) & 1U;
  return std::bit_cast<float>((bits + 0x7FFFU + odd) & 0xFFFF0000U);
}

double decode_e8m0(std::uint8_t code) {
  return code == 255 ? kNan : std::ldexp(1.0, static_cast<int>(code) - 127);
}

std::uint8_t mx_scale(SmallFloat element, double magnitude) {
  if (!(magnitude > 0)) return 0;
  const int emax = std::ilogb(largest(element));
  return static_cast<std::uint8_t>(std::clamp(std::ilogb(magnitude) - emax + 127, 0, 254));
}

Matrix<float> BlockTensor::dequantised() const {
  Matrix<float> out(rows, cols);
  const long blocks = (cols + block - 1) / block;
  for (long r = 0; r < rows; ++r) {
    for (long c = 0; c < cols; ++c) {
      const double scale = scales[static_cast<std::size_t>(r * blocks + c / block)];
      out(r, c) = static_cast<float>(decode(format, codes[out.index(r, c)]) * scale * tensor_scale);
    }
  }
  return out;
}

double BlockTensor::bits_per_element(double scale_bits) const {
  const double elements = static_cast<double>(rows) * static_cast<double>(cols);
  return format.bits() + scale_bits * static_cast<double>(scales.size()) / elements;
}

BlockTensor quantise_mx(const Matrix<float>& values, SmallFloat element) {
  BlockTensor t = empty_blocks(values, element, 32);
  for (long r = 0; r < t.rows; ++r) {
    for (long c = 0; c < t.cols; c += t.block) {
      const double magnitude = largest_magnitude(values, r, r + 1, c, c + t.block);
      const double scale = decode_e8m0(mx_scale(element, magnitude));
      t.scales.push_back(scale);
      encode_block(t, values, r, c, scale);
    }
  }
  return t;
}

BlockTensor quantise_nvfp4(const Matrix<float>& values) {
  BlockTensor t = empty_blocks(values, kE2M1, 16);
  const double all = largest_magnitude(values, 0, t.rows, 0, t.cols);
  t.tensor_scale = all > 0 ? static_cast<double>(static_cast<float>(all / (6.0 * 448.0))) : 1.0;
  for (long r = 0; r < t.rows; ++r) {
    for (long c = 0; c < t.cols; c += t.block) {
      const double magnitude = largest_magnitude(values, r, r + 1, c, c + t.block);
      const double scale = rounded(kE4M3, magnitude / 6.0 / t.tensor_scale);
      t.scales.push_back(scale);
      encode_block(t, values, r, c, scale * t.tensor_scale);
    }
  }
  return t;
}

TiledTensor quantise_tiles(const Matrix<float>& values, long tile_rows, long tile_cols) {
  TiledTensor t;
  t.rows = values.rows();
  t.cols = values.cols();
  t.tile_rows = tile_rows;
  t.tile_cols = tile_cols;
  t.values = Matrix<float>(t.rows, t.cols);
  t.scales = Matrix<float>((t.rows + tile_rows - 1) / tile_rows,
                           (t.cols + tile_cols - 1) / tile_cols, 1.0F);
  for (long i = 0; i < t.scales.rows(); ++i) {
    for (long j = 0; j < t.scales.cols(); ++j) {
      const long r0 = i * tile_rows, c0 = j * tile_cols;
      const double all = largest_magnitude(values, r0, r0 + tile_rows, c0, c0 + tile_cols);
      if (all > 0) t.scales(i, j) = static_cast<float>(all / largest(kE4M3));
      for (long r = r0; r < std::min(r0 + tile_rows, t.rows); ++r) {
        for (long c = c0; c < std::min(c0 + tile_cols, t.cols); ++c) {
          const double scaled =
              static_cast<double>(values(r, c)) / static_cast<double>(t.scales(i, j));
          t.values(r, c) = static_cast<float>(rounded(kE4M3, scaled));
        }
      }
    }
  }
  return t;
}

Matrix<float> TiledTensor::dequantised() const {
  Matrix<float> out(rows, cols);
  for (long r = 0; r < rows; ++r) {
    for (long c = 0; c < cols; ++c) {
      out(r, c) = values(r, c) * scales(r / tile_rows, c / tile_cols);
    }
  }
  return out;
}

TernaryTensor quantise_ternary(const Matrix<float>& values) {
  TernaryTensor t;
  t.rows = values.rows();
  t.cols = values.cols();
  double sum = 0.0;
  for (const float v : values.data()) sum += std::abs(static_cast<double>(v));
  t.scale = values.size() > 0 ? sum / static_cast<double>(values.size()) : 0.0;
  for (const float v : values.data()) {
    const double scaled = t.scale > 0 ? static_cast<double>(v) / t.scale : 0.0;
    t.codes.push_back(static_cast<std::int8_t>(std::clamp(std::nearbyint(scaled), -1.0, 1.0)));
  }
  return t;
}

Matrix<float> TernaryTensor::dequantised() const {
  Matrix<float> out(rows, cols);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    out.data()[i] = static_cast<float>(static_cast<double>(codes[i]) * scale);
  }
  return out;
}

std::vector<std::uint8_t> TernaryTensor::packed() const {
  std::vector<std::uint8_t> out;
  for (std::size_t i = 0; i < codes.size(); i += 5) {
    unsigned byte = 0;
    for (std::size_t j = std::min(i + 5, codes.size()); j-- > i;) {
      byte = byte * 3 + static_cast<unsigned>(codes[j] + 1);
    }
    out.push_back(static_cast<std::uint8_t>(byte));
  }
  return out;
}

std::vector<std::int8_t> unpack_ternary(const std::vector<std::uint8_t>& packed,
                                        std::size_t count) {
  std::vector<std::int8_t> out;
  for (const std::uint8_t byte : packed) {
    unsigned rest = byte;
    for (int i = 0; i < 5 && out.size() < count; ++i) {
      out.push_back(static_cast<std::int8_t>(static_cast<int>(rest % 3) - 1));
      rest /= 3;
    }
  }
  return out;
}

}  // namespace jevons::reference
