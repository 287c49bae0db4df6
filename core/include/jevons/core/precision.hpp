// Number formats and the precision plan of a job: which format each tensor class has.
#pragma once

#include "jevons/core/units.hpp"

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace jevons {

enum class Format {
  fp32,
  tf32,
  bf16,
  fp16,
  fp8,
  fp8_block,
  mxfp8,
  mxfp6,
  mxfp4,
  nvfp4,
  int8,
  int4,
  ternary,
  bits  // a plain number of bits per element
};

/// A format; `bits` counts only when `format` is Format::bits.
struct NumberFormat {
  Format format = Format::bf16;
  double custom_bits = 0.0;
  friend bool operator==(const NumberFormat&, const NumberFormat&) = default;
};

/// Bits per element of the payload, without scales.
[[nodiscard]] double payload_bits(NumberFormat format);
/// Bytes per element of a stored weight, scales included: fp8-block 1 + 4/16384 (one fp32 scale per
/// 128 x 128 tile), mxfp8 1 + 1/32, nvfp4 0.5 + 1/16, mxfp4 0.5 + 1/32 (OCP MX v1.0; NVFP4: one
/// E4M3 scale per 16), int4 0.5 + 2/64 (one 16-bit scale per group of 64).
[[nodiscard]] double weight_bytes(NumberFormat format);
/// Bytes per element of an activation, scales included: fp8-block 1 + 4/128 (1 x 128 tiles).
[[nodiscard]] double activation_bytes(NumberFormat format);
[[nodiscard]] std::string to_string(NumberFormat format);
/// A name of contract section 4 or a number of bits ("4.25"). Throws Error(bad_input).
[[nodiscard]] NumberFormat format_from_string(std::string_view text, std::string_view where);
[[nodiscard]] bool is_float8(NumberFormat format);    // fp8, fp8-block, mxfp8
[[nodiscard]] bool is_four_bit(NumberFormat format);  // nvfp4, mxfp4

/// The precision of a job, by tensor class (contract, section 4).
struct Precision {
  std::string preset = "bf16";
  NumberFormat gemm, attention, weights, activations, kv_cache, dispatch, combine;
  NumberFormat gradients{Format::fp32}, master{Format::fp32}, moments{Format::fp32};
  friend bool operator==(const Precision&, const Precision&) = default;
};

/// Names of the presets, in the contract's order.
[[nodiscard]] const std::vector<std::string>& precision_presets();
/// Throws Error(bad_input) that lists the presets.
[[nodiscard]] Precision precision_preset(std::string_view name, std::string_view where);

}  // namespace jevons
