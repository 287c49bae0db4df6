#include "jevons/hwmodels/host_calibration.hpp"

#include "jevons/core/error.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

namespace jevons::hwmodels {
namespace {

constexpr std::string_view kRead = "host read bytes_per_s";
constexpr std::string_view kFresh = "host fresh bytes_per_s";
constexpr std::string_view kGemv = "host gemv bytes_per_s";
constexpr std::string_view kCold = "host cold bytes_per_s";
constexpr std::string_view kDot = "host dot flops_per_s";
constexpr std::string_view kAxpy = "host axpy flops_per_s";
constexpr std::string_view kPeak = "host peak flops_per_s";
constexpr std::string_view kGemm = "host gemm flops_per_s ";
constexpr std::string_view kRate = "host rate ";

std::string source_text(const HostCalibration& c, const Sampled& sample) {
  char text[160];
  std::snprintf(text, sizeof text,
                "measured on this host by jevons calibrate on %s, median of %d, spread %.1f %%",
                c.date.c_str(), sample.repeats, 100 * sample.spread);
  return text;
}

using CurveName = std::pair<std::string_view, FootprintCurve HostCalibration::*>;
constexpr std::array<CurveName, 6> kCurves{{{kRead, &HostCalibration::read},
                                            {kFresh, &HostCalibration::fresh},
                                            {kGemv, &HostCalibration::gemv},
                                            {kCold, &HostCalibration::cold},
                                            {kDot, &HostCalibration::dot},
                                            {kAxpy, &HostCalibration::axpy}}};

Json entry(Json value, std::string source, std::string_view mark, std::string note = "") {
  Json out{{"value", std::move(value)}, {"source", std::move(source)}, {"mark", mark}};
  if (!note.empty()) out["note"] = std::move(note);
  return out;
}
Json measured_figure(const HostCalibration& c, const Sampled& sample, std::string note = "") {
  return entry(sample.value, source_text(c, sample), "primary", std::move(note));
}

Json figures_json(const HostCalibration& c) {
  const std::string system = "reported by the operating system of this host on " + c.date;
  const std::string none = "derived: a host has no accelerator fabric";
  Json out = Json::object();
  out["peak_fp32_flops_per_s"] =
      measured_figure(c, c.peak_fp32_flops_per_s, "independent multiply-adds, one thread");
  for (const char* figure : {"peak_bf16_flops_per_s", "peak_int8_ops_per_s"}) {
    out[figure] = entry(nullptr, "not measured", "assumed",
                        "no reference kernel does this arithmetic: it runs in fp32");
  }
  out["memory_bandwidth_bytes_per_s"] =
      measured_figure(c, c.read.points.back().second, "read by one thread, largest footprint");
  out["memory_bytes"] = entry(c.memory_bytes, system, "primary");
  if (c.last_level_cache_bytes) {
    out["last_level_cache_bytes"] = entry(*c.last_level_cache_bytes, system, "primary");
  }
  out["compute_units"] = entry(1, "one thread was measured", "primary");
  const std::string power = "measured on this host by jevons calibrate on " + c.date;
  const auto watts = [&](const std::optional<double>& value) {
    return value ? entry(*value, power, "primary", c.power_note)
                 : entry(nullptr, "not measured", "assumed", c.power_note);
  };
  out["idle_w"] = watts(c.idle_w);
  out["tdp_w"] = watts(c.busy_w);
  out["scale_up_topology"] = entry("none", none, "derived");
  out["nvls"] = entry(false, none, "derived");
  return out;
}

/// The few constants of the general kernel forms that these measurements give.
Json constants_json(const HostCalibration& c) {
  const double call_us = 1e6 * c.rates.at("call_s").value;
  const double memory = c.read.points.back().second.value;
  const double copy = std::min(1.0, c.fresh.points.back().second.value / memory);
  Json out = Json::object();
  const auto add = [&](const char* name, double value, const char* meaning, const Sampled& from) {
    Json constant = measured_figure(c, from);
    constant["value"] = value;
    constant["meaning"] = meaning;
    out[name] = std::move(constant);
  };
  const Sampled& call = c.rates.at("call_s");
  add("gemm.rate.bf16", std::min(1.0, c.best_gemm_fraction()),
      "Best product over the measured peak; 16-bit formats run in fp32.", c.peak_fp32_flops_per_s);
  add("gemm.floor_us.bf16", call_us, "A call that makes its result.", call);
  add("elementwise.floor_us", call_us, "A call that makes its result.", call);
  add("elementwise.launch_us", call_us, "A call that makes its result.", call);
  add("elementwise.copy_rate", copy, "Writing fresh memory over reading it.",
      c.fresh.points.back().second);
  return out;
}

Json measured_json(const HostCalibration& c) {
  Json out = Json::array();
  const auto add = [&](std::string quantity, const Sampled& sample) -> Json& {
    out.push_back({{"quantity", std::move(quantity)},
                   {"value", sample.value},
                   {"source", source_text(c, sample)},
                   {"mark", "primary"}});
    return out.back();
  };
  add(std::string(kPeak), c.peak_fp32_flops_per_s)["note"] = c.level;
  for (const GemmSample& g : c.gemm) {
    char shape[80];
    std::snprintf(shape, sizeof shape, "%ldx%ldx%ld", g.m, g.n, g.k);
    add(std::string(kGemm) + shape, g.flops_per_s)["fraction_of_peak"] =
        g.flops_per_s.value / c.peak_fp32_flops_per_s.value;
  }
  for (const auto& [name, curve] : kCurves) {
    for (const auto& [bytes, sample] : (c.*curve).points) {
      add(std::string(name), sample)["bytes"] = bytes;
    }
  }
  for (const HostRate& rate : host_rates()) {
    add(std::string(kRate) + std::string(rate.name), c.rates.at(std::string(rate.name)))["note"] =
        rate.meaning;
  }
  return out;
}

GemmSample gemm_sample(const std::string& shape, const Sampled& rate) {
  GemmSample out;
  if (std::sscanf(shape.c_str(), "%ldx%ldx%ld", &out.m, &out.n, &out.k) != 3) {
    throw bad_input("measured", "cannot read the GEMM shape '" + shape + "'", "such as 64x512x512");
  }
  out.flops_per_s = rate;
  return out;
}

void take(HostCalibration& c, const Measurement& m) {
  const std::string_view name = m.quantity;
  if (!name.starts_with("host ") || m.values.size() != 1) return;
  const Sampled sample{m.values.front(), 0.0, 0};
  for (const auto& [curve, into] : kCurves) {
    if (name == curve && m.bytes) (c.*into).points.emplace_back(*m.bytes, sample);
  }
  if (name == kPeak) {
    c.peak_fp32_flops_per_s = sample;
    c.level = m.note;
  } else if (name.starts_with(kGemm)) {
    c.gemm.push_back(gemm_sample(std::string(name.substr(kGemm.size())), sample));
  } else if (name.starts_with(kRate)) {
    c.rates.insert_or_assign(std::string(name.substr(kRate.size())), sample);
  }
}

}  // namespace

const std::vector<HostRate>& host_rates() {
  static const std::vector<HostRate> rates{
      {"call_s", "Seconds of a call that allocates, clears and returns a 64-number result."},
      {"exp_per_s", "Single-precision exponentials."},
      {"sincos_per_s", "Pairs of double-precision cosine and sine."},
      {"element_per_s", "Numbers read, scaled in double precision and written."},
      {"choice_per_s", "Comparisons of numbers whose outcome cannot be foreseen (sorting)."},
      {"copy_per_s", "Numbers copied from columns of one matrix into columns of another."},
  };
  return rates;
}

double FootprintCurve::at(double bytes) const {
  if (bytes <= points.front().first) return points.front().second.value;
  for (std::size_t i = 1; i < points.size(); ++i) {
    const auto& [high, high_rate] = points[i];
    const auto& [low, low_rate] = points[i - 1];
    if (bytes > high) continue;
    const double share = std::log(bytes / low) / std::log(high / low);
    return low_rate.value * std::pow(high_rate.value / low_rate.value, share);
  }
  return points.back().second.value;
}

double HostCalibration::best_gemm_fraction() const {
  double best = 0;
  for (const GemmSample& g : gemm) best = std::max(best, g.flops_per_s.value);
  return best / peak_fp32_flops_per_s.value;
}

Json accelerator_json(const HostCalibration& c) {
  Json out;
  out["schema"] = "jevons.accelerator/1";
  out["id"] = "host";
  out["name"] = c.processor + ", one thread (" + c.level + ")";
  out["vendor"] = c.processor.substr(0, c.processor.find(' '));
  out["kind"] = "cpu";
  out["generation"] = "cpu";
  out["compute_unit_kind"] = "core";
  out["figures"] = figures_json(c);
  out["measured"] = measured_json(c);
  out["constants"] = constants_json(c);
  out["x_date"] = c.date;
  return out;
}

HostCalibration host_calibration(const Accelerator& accelerator) {
  HostCalibration c;
  c.processor = accelerator.name;
  c.memory_bytes = accelerator.require("memory_bytes");
  c.last_level_cache_bytes = accelerator.find("last_level_cache_bytes");
  c.idle_w = accelerator.find("idle_w");
  c.busy_w = accelerator.find("tdp_w");
  for (const Measurement& m : accelerator.measured) take(c, m);
  const auto need = [&](bool ok, std::string_view what) {
    if (ok) return;
    throw bad_input("accelerator " + accelerator.id, "no measurement of " + std::string(what),
                    "a SKU file written by jevons calibrate");
  };
  need(c.peak_fp32_flops_per_s.value > 0, kPeak);
  need(c.gemm.size() >= 4, kGemm);
  for (const auto& [name, curve] : kCurves) {
    const auto& points = (c.*curve).points;
    need(!points.empty(), name);
    need(std::is_sorted(points.begin(), points.end(),
                        [](const auto& a, const auto& b) { return a.first < b.first; }),
         std::string(name) + " in rising order of bytes");
  }
  for (const HostRate& rate : host_rates()) {
    need(c.rates.contains(rate.name), std::string(kRate) + std::string(rate.name));
  }
  return c;
}

}  // namespace jevons::hwmodels
