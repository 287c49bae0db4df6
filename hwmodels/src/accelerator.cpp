#include "jevons/hwmodels/accelerator.hpp"

#include "jevons/core/error.hpp"
#include "jevons/core/json_reader.hpp"

#include <algorithm>
#include <array>
#include <initializer_list>
#include <utility>

namespace jevons::hwmodels {
namespace {

constexpr std::array<std::pair<std::string_view, ScaleUpTopology>, 10> kTopologies{{
    {"nvlink-switch", ScaleUpTopology::nvlink_switch},
    {"switch", ScaleUpTopology::switched},
    {"mesh", ScaleUpTopology::mesh},
    {"ring", ScaleUpTopology::ring},
    {"torus-2d", ScaleUpTopology::torus_2d},
    {"torus-3d", ScaleUpTopology::torus_3d},
    {"hypercube", ScaleUpTopology::hypercube},
    {"dragonfly", ScaleUpTopology::dragonfly},
    {"pcie", ScaleUpTopology::pcie},
    {"none", ScaleUpTopology::none},
}};

constexpr std::string_view kFp32 = "peak_fp32_flops_per_s";
constexpr std::string_view kTf32 = "peak_tf32_flops_per_s";
constexpr std::string_view kBf16 = "peak_bf16_flops_per_s";
constexpr std::string_view kFp16 = "peak_fp16_flops_per_s";
constexpr std::string_view kFp8 = "peak_fp8_flops_per_s";
constexpr std::string_view kFp6 = "peak_fp6_flops_per_s";
constexpr std::string_view kFp4 = "peak_fp4_flops_per_s";
constexpr std::string_view kInt8 = "peak_int8_ops_per_s";
constexpr std::string_view kFp32Matrix = "peak_fp32_matrix_flops_per_s";

/// The figures that can serve a format: the narrowest unit first, then the next wider ones.
std::vector<std::string_view> candidates(Format format) {
  switch (format) {
    case Format::fp32: return {kFp32Matrix, kFp32};
    case Format::tf32: return {kTf32, kFp32Matrix, kFp32};
    case Format::fp16: return {kFp16, kBf16, kTf32, kFp32};
    case Format::fp8:
    case Format::fp8_block:
    case Format::mxfp8: return {kFp8, kBf16, kFp16, kTf32, kFp32};
    case Format::mxfp6: return {kFp6, kFp8, kBf16, kFp16, kTf32, kFp32};
    case Format::nvfp4:
    case Format::mxfp4: return {kFp4, kFp6, kFp8, kBf16, kFp16, kTf32, kFp32};
    case Format::int8:
    case Format::ternary: return {kInt8, kBf16, kFp16, kTf32, kFp32};
    case Format::bf16:
    case Format::int4:
    case Format::bits: return {kBf16, kFp16, kTf32, kFp32};
  }
  return {};
}

}  // namespace

double Constants::at(std::string_view name) const {
  const Sourced* found = find(name);
  if (found == nullptr) {
    throw Error(ErrorKind::internal, "",
                "no data file gives the constant '" + std::string(name) + "'");
  }
  return found->value;
}

const Sourced* Constants::find(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

void Constants::set(std::string name, Sourced value) {
  values_.insert_or_assign(std::move(name), std::move(value));
}

void Constants::overlay(const Constants& other) {
  for (const auto& [name, value] : other.values_) set(name, value);
}

std::optional<double> Accelerator::find(std::string_view figure) const {
  const auto found = figures.find(figure);
  return found == figures.end() ? std::nullopt : found->second.value;
}

double Accelerator::require(std::string_view figure) const {
  if (const std::optional<double> value = find(figure)) return *value;
  const auto found = figures.find(figure);
  std::string message = "'" + id + "' has no figure '" + std::string(figure) + "'";
  if (found != figures.end() && !found->second.note.empty()) {
    message += ": " + found->second.note;
  }
  throw bad_input("accelerator " + id, message,
                  "this run needs it: add it to a SKU file (\"based_on\": \"" + id +
                      "\") or override it in the scenario's cluster");
}

ScaleUpTopology Accelerator::topology() const {
  const auto found = figures.find("scale_up_topology");
  if (found == figures.end()) return ScaleUpTopology::none;
  for (const auto& [word, topology] : kTopologies) {
    if (word == found->second.text) return topology;
  }
  std::vector<std::string> names;
  for (const auto& entry : kTopologies) names.emplace_back(entry.first);
  throw bad_input("accelerator " + id, "unknown scale_up_topology '" + found->second.text + "'",
                  did_you_mean(found->second.text, names));
}

bool Accelerator::has_nvls() const {
  return find("nvls").value_or(0.0) > 0.5;
}

bool Accelerator::has_peak(NumberFormat format) const {
  const std::vector<std::string_view> names = candidates(format.format);
  return std::any_of(names.begin(), names.end(),
                     [this](std::string_view figure) { return find(figure).has_value(); });
}

std::string Accelerator::peak_figure(NumberFormat format) const {
  const std::vector<std::string_view> names = candidates(format.format);
  for (const std::string_view figure : names) {
    if (find(figure)) return std::string(figure);
  }
  std::string list;
  for (const std::string_view figure : names) {
    list += (list.empty() ? "" : ", ") + std::string(figure);
  }
  throw bad_input("accelerator " + id,
                  "no known peak for " + to_string(format) + " arithmetic on '" + id + "'",
                  "needs one of: " + list);
}

FlopRate Accelerator::peak(NumberFormat format) const {
  return FlopRate(require(peak_figure(format)));
}

void override_figure(Accelerator& accelerator, std::string_view figure, double value) {
  Figure given;
  given.value = value;
  given.source = {"given in the scenario", Mark::assumed};
  accelerator.figures.insert_or_assign(std::string(figure), std::move(given));
}

}  // namespace jevons::hwmodels
