// Number formats, bit by bit.
//
// A small float has a sign, E exponent bits with a bias, and M mantissa bits; exponent 0 holds the
// subnormals. Conversion rounds to nearest, ties to even, and saturates at the largest finite
// value, as OCP FP8 (v1.0) and OCP MX (v1.0) define for the saturating mode.
//   E4M3  bias 7,  largest 448,   no infinity, one NaN pattern (S.1111.111)
//   E5M2  bias 15, largest 57344, infinity and NaN as in IEEE 754
//   E2M1  bias 1,  largest 6 (FP4);  E3M2 bias 3, largest 28, and E2M3 bias 1, largest 7.5 (FP6):
//         neither infinity nor NaN
//   E8M0  a power of two, 2^(code - 127); 255 is NaN
// Sources: OCP 8-bit Floating Point Specification v1.0; OCP Microscaling Formats v1.0; NVFP4:
// NVIDIA Blackwell documentation (blocks of 16, an E4M3 scale, an fp32 scale per tensor); ternary:
// BitNet b1.58 (arXiv 2402.17764), equation 1-3; tiles: DeepSeek-V3 report, section 3.3.2.
#pragma once

#include "jevons/reference/matrix.hpp"

#include <cstdint>
#include <string_view>
#include <vector>

namespace jevons::reference {

struct SmallFloat {
  std::string_view name;
  int exponent_bits = 0, mantissa_bits = 0, bias = 0;
  bool infinity = false;    ///< the top exponent is infinity and NaN (IEEE)
  bool nan_at_top = false;  ///< only the all-ones pattern is NaN (E4M3)
  [[nodiscard]] int bits() const { return 1 + exponent_bits + mantissa_bits; }
};

inline constexpr SmallFloat kE4M3{"e4m3", 4, 3, 7, false, true};
inline constexpr SmallFloat kE5M2{"e5m2", 5, 2, 15, true, false};
inline constexpr SmallFloat kE2M1{"e2m1", 2, 1, 1, false, false};
inline constexpr SmallFloat kE3M2{"e3m2", 3, 2, 3, false, false};
inline constexpr SmallFloat kE2M3{"e2m3", 2, 3, 1, false, false};

/// The value of a code; NaN and infinities where the format has them.
[[nodiscard]] double decode(SmallFloat format, std::uint32_t code);
/// Nearest code, ties to even mantissa, saturating. NaN gives the format's NaN; a format without
/// one has no code for it and gives the largest value.
[[nodiscard]] std::uint32_t encode(SmallFloat format, double value);
[[nodiscard]] double largest(SmallFloat format);
/// decode(encode(value)).
[[nodiscard]] double rounded(SmallFloat format, double value);
/// Round to bf16 (8 exponent, 7 mantissa bits), ties to even.
[[nodiscard]] float to_bf16(float value);

[[nodiscard]] double decode_e8m0(std::uint8_t code);
/// The scale of a block of OCP MX: 2^(floor(log2(largest magnitude)) - emax of the element format).
[[nodiscard]] std::uint8_t mx_scale(SmallFloat element, double largest_magnitude);

/// A tensor in blocks along its rows: codes, one scale a block, perhaps one for the tensor.
struct BlockTensor {
  long rows = 0, cols = 0, block = 0;
  std::vector<std::uint8_t> codes;  ///< one a byte, whatever the bits
  std::vector<double> scales;       ///< value of the scale of each block, row by row
  double tensor_scale = 1.0;
  SmallFloat format;
  [[nodiscard]] Matrix<float> dequantised() const;
  /// Bits per element with scales of `scale_bits`.
  [[nodiscard]] double bits_per_element(double scale_bits) const;
};

/// OCP MX: blocks of 32 with an E8M0 scale (MXFP8, MXFP6, MXFP4).
[[nodiscard]] BlockTensor quantise_mx(const Matrix<float>& values, SmallFloat element);
/// NVFP4: blocks of 16, E4M3 scales, one fp32 scale for the tensor that lets the largest block
/// scale be 448.
[[nodiscard]] BlockTensor quantise_nvfp4(const Matrix<float>& values);

/// DeepSeek-V3 tiles: E4M3 codes with one fp32 scale (largest magnitude / 448) a tile.
struct TiledTensor {
  long rows = 0, cols = 0, tile_rows = 0, tile_cols = 0;
  Matrix<float> values;  ///< decoded codes, not yet scaled
  Matrix<float> scales;  ///< one a tile
  [[nodiscard]] Matrix<float> dequantised() const;
};
[[nodiscard]] TiledTensor quantise_tiles(const Matrix<float>& values, long tile_rows,
                                         long tile_cols);

/// BitNet b1.58: weights in {-1, 0, 1} times the mean magnitude of the matrix.
struct TernaryTensor {
  long rows = 0, cols = 0;
  std::vector<std::int8_t> codes;
  double scale = 0.0;
  [[nodiscard]] Matrix<float> dequantised() const;
  /// Five ternary digits in a byte (3^5 = 243): 1.6 bits an element.
  [[nodiscard]] std::vector<std::uint8_t> packed() const;
};
[[nodiscard]] TernaryTensor quantise_ternary(const Matrix<float>& values);
[[nodiscard]] std::vector<std::int8_t> unpack_ternary(const std::vector<std::uint8_t>& packed,
                                                      std::size_t count);

}  // namespace jevons::reference
