#include "jevons/core/precision.hpp"

#include "jevons/core/error.hpp"

#include <charconv>
#include <cmath>

namespace jevons {
namespace {

struct FormatRow {
  Format format;
  std::string_view name;
  double bits;
  double weight_bytes;
  double activation_bytes;
};

// Scales: fp8-block one fp32 per 128 x 128 (weights) or per 1 x 128 (activations), DeepSeek-V3
// report section 3.3.2; MX formats one E8M0 byte per 32 (OCP MX v1.0); NVFP4 one E4M3 byte per 16;
// int4 one 16-bit scale per 64 (AWQ/GPTQ group size); ternary log2(3) bits.
const std::array<FormatRow, 13> kFormats{{
    {Format::fp32, "fp32", 32, 4, 4},
    {Format::tf32, "tf32", 19, 4, 4},
    {Format::bf16, "bf16", 16, 2, 2},
    {Format::fp16, "fp16", 16, 2, 2},
    {Format::fp8, "fp8", 8, 1, 1},
    {Format::fp8_block, "fp8-block", 8, 1 + 4.0 / 16384, 1 + 4.0 / 128},
    {Format::mxfp8, "mxfp8", 8, 1 + 1.0 / 32, 1 + 1.0 / 32},
    {Format::mxfp6, "mxfp6", 6, 0.75 + 1.0 / 32, 0.75 + 1.0 / 32},
    {Format::mxfp4, "mxfp4", 4, 0.5 + 1.0 / 32, 0.5 + 1.0 / 32},
    {Format::nvfp4, "nvfp4", 4, 0.5 + 1.0 / 16, 0.5 + 1.0 / 16},
    {Format::int8, "int8", 8, 1, 1},
    {Format::int4, "int4", 4, 0.5 + 2.0 / 64, 0.5 + 2.0 / 64},
    {Format::ternary, "ternary", 1.5849625007211562, 1.5849625007211562 / 8,
     1.5849625007211562 / 8},
}};

const FormatRow* find(Format format) {
  for (const FormatRow& row : kFormats) {
    if (row.format == format) return &row;
  }
  return nullptr;
}

constexpr NumberFormat of(Format f) {
  return {f, 0.0};
}

/// All classes in one 16- or 32-bit format.
Precision uniform(std::string_view name, Format format) {
  Precision p;
  p.preset = name;
  p.gemm = p.attention = p.weights = p.activations = p.kv_cache = p.dispatch = p.combine =
      of(format);
  return p;
}

/// Low-precision GEMM over 16-bit everything else.
Precision low(std::string_view name, Format gemm, Format weights) {
  Precision p = uniform(name, Format::bf16);
  p.gemm = of(gemm);
  p.weights = of(weights);
  return p;
}

}  // namespace

double payload_bits(NumberFormat format) {
  const FormatRow* row = find(format.format);
  return row != nullptr ? row->bits : format.custom_bits;
}

double weight_bytes(NumberFormat format) {
  const FormatRow* row = find(format.format);
  return row != nullptr ? row->weight_bytes : format.custom_bits / 8;
}

double activation_bytes(NumberFormat format) {
  const FormatRow* row = find(format.format);
  return row != nullptr ? row->activation_bytes : format.custom_bits / 8;
}

std::string to_string(NumberFormat format) {
  const FormatRow* row = find(format.format);
  if (row != nullptr) return std::string(row->name);
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), format.custom_bits);
  return {buffer.data(), end.ptr};
}

NumberFormat format_from_string(std::string_view text, std::string_view where) {
  for (const FormatRow& row : kFormats) {
    if (row.name == text) return of(row.format);
  }
  double bits = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits);
  if (error == std::errc() && end == text.data() + text.size() && bits >= 1 && bits <= 64) {
    return {Format::bits, bits};
  }
  throw bad_input(std::string(where), "unknown number format '" + std::string(text) + "'",
                  "allowed: fp32, tf32, bf16, fp16, fp8, fp8-block, mxfp8, mxfp6, mxfp4, nvfp4, "
                  "int8, int4, ternary, or a number of bits from 1 to 64");
}

bool is_float8(NumberFormat f) {
  return f.format == Format::fp8 || f.format == Format::fp8_block || f.format == Format::mxfp8;
}

bool is_four_bit(NumberFormat f) {
  return f.format == Format::nvfp4 || f.format == Format::mxfp4;
}

const std::vector<std::string>& precision_presets() {
  static const std::vector<std::string> names{"fp32",      "bf16",  "fp16",  "fp8",
                                              "fp8-block", "mxfp8", "nvfp4", "mxfp4",
                                              "w8a8",      "w4a16", "w8a16", "ternary"};
  return names;
}

Precision precision_preset(std::string_view name, std::string_view where) {
  if (name == "fp32") return uniform(name, Format::fp32);
  if (name == "bf16") return uniform(name, Format::bf16);
  if (name == "fp16") return uniform(name, Format::fp16);
  if (name == "fp8") return low(name, Format::fp8, Format::fp8);
  if (name == "fp8-block") {
    // DeepSeek-V3 report, sections 3.3.2 and 3.3.3: bf16 moments, fp8 dispatch, bf16 combine.
    Precision p = low(name, Format::fp8_block, Format::fp8_block);
    p.dispatch = of(Format::fp8_block);
    p.moments = of(Format::bf16);
    return p;
  }
  if (name == "mxfp8") return low(name, Format::mxfp8, Format::mxfp8);
  if (name == "nvfp4") return low(name, Format::nvfp4, Format::nvfp4);
  if (name == "mxfp4") return low(name, Format::mxfp4, Format::mxfp4);
  if (name == "w8a8") return low(name, Format::int8, Format::int8);
  if (name == "w4a16") return low(name, Format::bf16, Format::int4);
  if (name == "w8a16") return low(name, Format::bf16, Format::int8);
  if (name == "ternary") return low(name, Format::int8, Format::ternary);
  std::string all;
  for (const std::string& preset : precision_presets()) all += (all.empty() ? "" : ", ") + preset;
  throw bad_input(std::string(where), "unknown precision '" + std::string(name) + "'",
                  "allowed: " + all);
}

}  // namespace jevons
