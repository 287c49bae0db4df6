#include "jevons/host/measure.hpp"

#include "generic_loops.hpp"

#include "jevons/simd/simd.hpp"

#include <array>
#include <fstream>
#include <string>

namespace jevons::host {
namespace {

using hwmodels::FootprintCurve;
using hwmodels::HostCalibration;
using hwmodels::Sampled;

/// Keeps results alive: a loop whose result nobody reads may be removed.
volatile float g_sink = 0;
void keep(float value) {
  g_sink = value;
}

/// "key : value" of a file such as /proc/cpuinfo; empty when it is not there.
std::string system_value(const char* path, std::string_view key) {
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t colon = line.find(':');
    const std::size_t first = line.find_first_not_of(" \t", colon + 1);
    if (colon != std::string::npos && first != std::string::npos) return line.substr(first);
  }
  return {};
}

/// Bytes of the last level of cache that the first core sees; empty when Linux does not tell.
std::optional<double> last_level_cache() {
  std::optional<double> bytes;
  for (int level = 0; level < 5; ++level) {
    std::ifstream in("/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(level) + "/size");
    double size = 0;
    char unit = 0;
    if (!(in >> size)) continue;
    in >> unit;
    bytes = size * (unit == 'M' ? 1048576.0 : unit == 'K' ? 1024.0 : 1.0);
  }
  return bytes;
}

std::vector<float> numbers(long count) {
  std::vector<float> out(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] = 0.5F + 0.001F * static_cast<float>(i % 251);
  }
  return out;
}

Sampled peak(const Sampling& how) {
  float sink = 1;
  constexpr long kRounds = 20000;
  const double flops = simd::multiply_add_rounds(kRounds, &sink);
  const Sampled out =
      rate_of(how, flops, [&] { static_cast<void>(simd::multiply_add_rounds(kRounds, &sink)); });
  keep(sink);
  return out;
}

using Shape = std::array<long, 3>;  // m, n, k

std::vector<Shape> gemm_shapes(bool quick) {
  std::vector<Shape> shapes{{16, 16, 16},    {32, 32, 32},   {64, 64, 64},   {128, 128, 128},
                            {512, 512, 512}, {4, 64, 64},    {16, 64, 64},   {4, 512, 512},
                            {16, 512, 512},  {64, 512, 512}, {64, 64, 1024}, {64, 1024, 64},
                            {16, 2048, 512}, {8, 1024, 1024}};
  if (!quick) {
    for (const Shape extra : {Shape{256, 256, 256}, Shape{1024, 1024, 1024}, Shape{2, 256, 256},
                              Shape{32, 256, 1024}, Shape{128, 1024, 256}, Shape{32, 2048, 2048}}) {
      shapes.push_back(extra);
    }
  }
  return shapes;
}

Sampled gemm_rate(const Sampling& how, Shape s) {
  const auto [m, n, k] = s;
  const std::vector<float> a = numbers(m * k), b = numbers(k * n);
  const double flops = 2.0 * static_cast<double>(m) * static_cast<double>(n * k);
  return rate_of(how, flops, [&] {
    std::vector<float> c = fresh(m * n);
    simd::gemm({a.data()}, {b.data()}, c.data(), m, n, k);
    keep(c.back());
  });
}

/// A rate at each footprint, powers of four from 4 KiB.
template <class Rate>
FootprintCurve curve(double largest, Rate rate) {
  FootprintCurve out;
  for (double bytes = 4096; bytes <= largest; bytes *= 4) {
    out.points.emplace_back(bytes, rate(bytes));
  }
  return out;
}

FootprintCurve read_curve(const Sampling& how, double largest) {
  return curve(largest, [&](double bytes) {
    const std::vector<float> x = numbers(static_cast<long>(bytes / 4));
    return rate_of(how, bytes, [&] { keep(simd::sum(x.data(), static_cast<long>(x.size()))); });
  });
}

FootprintCurve fresh_curve(const Sampling& how, double largest) {
  return curve(largest, [&](double bytes) {
    return rate_of(how, bytes, [&] { keep(fresh(static_cast<long>(bytes / 4)).back()); });
  });
}

FootprintCurve gemv_curve(const Sampling& how, double largest) {
  FootprintCurve out;
  for (long n = 32; 4.0 * static_cast<double>(n * n) <= largest; n *= 2) {
    const std::vector<float> a = numbers(n), b = numbers(n * n);
    const double bytes = 4.0 * static_cast<double>(n * n);
    out.points.emplace_back(bytes, rate_of(how, bytes, [&] {
                              std::vector<float> c = fresh(n);
                              simd::gemm({a.data()}, {b.data()}, c.data(), 1, n, n);
                              keep(c.back());
                            }));
  }
  return out;
}

std::map<std::string, Sampled, std::less<>> loop_rates(const Sampling& how) {
  constexpr long kRow = 128, kRows = 16, kMany = kRow * kRows;  // 8 KiB: first-level cache
  const std::vector<float> x = numbers(kMany), gain = numbers(kMany);
  std::vector<float> y = numbers(kMany);
  const auto rows = [&](auto work) {
    for (long r = 0; r < kRows; ++r) work(r * kRow);
  };
  std::map<std::string, Sampled, std::less<>> out;
  out["call_s"] = seconds_of(how, [&] { keep(fresh(64).back()); });
  out["dot_flops_per_s"] = rate_of(how, 2.0 * kMany, [&] {
    rows([&](long at) { keep(dot(x.data() + at, gain.data() + at, kRow)); });
  });
  out["axpy_flops_per_s"] = rate_of(how, 2.0 * kMany, [&] {
    rows([&](long at) { axpy(1e-6F, x.data() + at, y.data() + at, kRow); });
    keep(y.back());
  });
  out["exp_per_s"] = rate_of(how, kMany, [&] {
    y = x;
    keep(exponentials(1.0F, y.data(), kMany));
  });
  out["sincos_per_s"] = rate_of(how, kMany, [&] { keep(static_cast<float>(turns(0.37, kMany))); });
  out["element_per_s"] = rate_of(how, kMany, [&] {
    scale(x.data(), 1.25, gain.data(), y.data(), kMany);
    keep(y.back());
  });
  out["copy_per_s"] = rate_of(how, kMany, [&] {
    copy_block(x.data(), kRow, y.data(), kRow, kRows, kRow);
    keep(y.back());
  });
  return out;
}

}  // namespace

HostCalibration measure_host(const MeasureOptions& options) {
  const Sampling& how = options.sampling;
  HostCalibration c;
  c.processor = system_value("/proc/cpuinfo", "model name");
  if (c.processor.empty()) c.processor = "unnamed processor";
  c.level = std::string(simd::level());
  c.date = options.date;
  const std::string memory = system_value("/proc/meminfo", "MemTotal");
  if (!memory.empty()) c.memory_bytes = 1024 * std::stod(memory);
  c.last_level_cache_bytes = last_level_cache();
  options.progress("peak");
  c.peak_fp32_flops_per_s = peak(how);
  options.progress("matrix products");
  for (const Shape shape : gemm_shapes(options.quick)) {
    c.gemm.push_back({shape[0], shape[1], shape[2], gemm_rate(how, shape)});
  }
  options.progress("memory by footprint");
  const double largest = options.quick ? 67108864.0 : 268435456.0;
  c.read = read_curve(how, largest);
  c.fresh = fresh_curve(how, 67108864.0);
  c.gemv = gemv_curve(how, 67108864.0);
  options.progress("loops");
  c.rates = loop_rates(how);
  options.progress("power");
  PowerReading power = measure_power(how.clocks, "/sys/class/powercap", options.quick ? 0.5 : 2.0);
  c.idle_w = power.idle_w;
  c.busy_w = power.busy_w;
  c.power_note = std::move(power.note);
  return c;
}

}  // namespace jevons::host
