#include "jevons/host/measure.hpp"

#include "generic_loops.hpp"

#include "jevons/simd/simd.hpp"

#include <array>
#include <cstdint>
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

/// From tiny to large, square and flat. Not powers of two: those fall onto the same cache sets, and
/// their rate then depends on where the allocator happens to put the operands.
std::vector<Shape> gemm_shapes(bool quick) {
  std::vector<Shape> shapes{{16, 16, 16},    {48, 48, 48},   {96, 96, 96},   {200, 200, 200},
                            {500, 500, 500}, {4, 72, 72},    {16, 72, 72},   {4, 500, 500},
                            {16, 500, 500},  {64, 500, 500}, {72, 72, 1000}, {72, 1000, 72},
                            {16, 2000, 500}, {2, 240, 240},  {8, 1000, 1000}};
  if (!quick) {
    for (const Shape extra :
         {Shape{320, 320, 320}, Shape{1000, 1000, 1000}, Shape{2, 90, 90}, Shape{8, 90, 400},
          Shape{32, 240, 1000}, Shape{120, 1000, 240}, Shape{32, 2000, 2000}}) {
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

/// Matrix-vector products over a rotation of matrices of a quarter MiB: none is used again before
/// all of them are, as the weights of a model in a step.
FootprintCurve cold_curve(const Sampling& how, double largest) {
  constexpr long kRows = 250, kCols = 260;
  constexpr double kBytes = 4.0 * kRows * kCols;
  const std::vector<float> a = numbers(kRows);
  std::vector<std::vector<float>> matrices;
  FootprintCurve out;
  for (std::size_t count = 1; static_cast<double>(count) * kBytes <= largest; count *= 2) {
    while (matrices.size() < count) matrices.push_back(numbers(kRows * kCols));
    std::size_t next = 0;
    out.points.emplace_back(static_cast<double>(count) * kBytes, rate_of(how, kBytes, [&] {
                              std::vector<float> c = fresh(kCols);
                              simd::gemm({a.data()}, {matrices[next].data()}, c.data(), 1, kCols,
                                         kRows);
                              keep(c.back());
                              next = (next + 1) % count;
                            }));
  }
  return out;
}

/// A row-wise loop for rows of 8 to 1024 numbers. The rows are a head's part of rows four times as
/// wide, 256 KiB in all: as keys and values lie.
template <class Loop>
FootprintCurve row_curve(const Sampling& how, Loop loop) {
  FootprintCurve out;
  for (long length = 8; length <= 1024; length *= 2) {
    const long rows = 16384 / length, stride = 4 * length;
    const std::vector<float> x = numbers(rows * stride);
    // One vector as long as a row, one with a number for each row.
    std::vector<float> across(static_cast<std::size_t>(length), 1e-6F);
    std::vector<float> down(static_cast<std::size_t>(rows), 1e-6F);
    const Block block{x.data(), rows, length, stride};
    const Sampled rate = rate_of(how, 2.0 * static_cast<double>(rows * length), [&] {
      loop(block, across.data(), down.data());
      keep(across.back() + down.back());
    });
    out.points.emplace_back(4.0 * static_cast<double>(length), rate);
  }
  return out;
}

std::map<std::string, Sampled, std::less<>> loop_rates(const Sampling& how) {
  // In the first-level cache, and not a multiple of a page: operands a page apart collide.
  constexpr long kRow = 128, kRows = 15, kMany = kRow * kRows;
  const std::vector<float> x = numbers(kMany), gain = numbers(kMany);
  std::vector<float> y = numbers(kMany);
  std::map<std::string, Sampled, std::less<>> out;
  out["call_s"] = seconds_of(how, [&] { keep(fresh(64).back()); });
  out["exp_per_s"] = rate_of(how, kMany, [&] {
    y = x;
    keep(exponentials(1.0F, y.data(), kMany));
  });
  out["sincos_per_s"] = rate_of(how, kMany, [&] { keep(static_cast<float>(turns(0.37, kMany))); });
  out["element_per_s"] = rate_of(how, kMany, [&] {
    scale(x.data(), 1.25, gain.data(), y.data(), kMany);
    keep(y.back());
  });
  // New numbers each time, so that no list is learnt by heart.
  constexpr long kList = 16;
  std::vector<float> lists(200 * kList);
  std::uint32_t state = 1;
  out["choice_per_s"] = rate_of(how, 200.0 * kList * 4, [&] {  // log2(16) = 4
    for (float& value : lists) {
      state = state * 1664525U + 1013904223U;
      value = static_cast<float>(state >> 8);
    }
    for (long at = 0; at < 200 * kList; at += kList) sort_down(lists.data() + at, kList);
    keep(lists.back());
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
  c.cold = cold_curve(how, 67108864.0);
  c.dot = row_curve(how, [](const Block& block, float* across, float* down) {
    dot_rows(block, across, 0.5F, down);
  });
  c.axpy = row_curve(
      how, [](const Block& block, float* across, float* down) { axpy_rows(block, down, across); });
  c.rates = loop_rates(how);
  options.progress("power");
  PowerReading power = measure_power(how.clocks, "/sys/class/powercap", options.quick ? 0.5 : 2.0);
  c.idle_w = power.idle_w;
  c.busy_w = power.busy_w;
  c.power_note = std::move(power.note);
  return c;
}

}  // namespace jevons::host
