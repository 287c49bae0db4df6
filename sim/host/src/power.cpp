#include "jevons/host/measure.hpp"
#include "jevons/simd/simd.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace jevons::host {
namespace {

namespace fs = std::filesystem;

/// Counters of whole packages: intel-rapl:N (AMD's too), not their sub-domains intel-rapl:N:M.
std::vector<fs::path> package_counters(const std::string& root) {
  std::vector<fs::path> out;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(root, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("intel-rapl:") && name.find(':', 11) == std::string::npos) {
      out.push_back(entry.path() / "energy_uj");
    }
  }
  return out;
}

/// Joules counted so far over all packages; empty when a counter cannot be read.
std::optional<double> joules(const std::vector<fs::path>& counters) {
  double sum = 0;
  for (const fs::path& path : counters) {
    std::ifstream in(path);
    double microjoules = 0;
    if (!(in >> microjoules)) return std::nullopt;
    sum += 1e-6 * microjoules;
  }
  return sum;
}

}  // namespace

PowerReading measure_power(const Clocks& clocks, const std::string& root, double seconds) {
  const std::vector<fs::path> counters = package_counters(root);
  if (counters.empty()) return {{}, {}, "no RAPL counters on this host"};
  if (!joules(counters)) return {{}, {}, "the RAPL counters of this host are not readable"};
  const auto watts = [&](auto work) -> std::optional<double> {
    const double start = clocks.wall();
    const std::optional<double> before = joules(counters);
    work();
    const std::optional<double> after = joules(counters);
    const double took = clocks.wall() - start;
    // The counter wraps every few minutes at most: a fall means that it did.
    if (!before || !after || *after < *before || !(took > 0)) return std::nullopt;
    return (*after - *before) / took;
  };
  PowerReading out;
  out.idle_w = watts([&] { clocks.sleep(seconds); });
  out.busy_w = watts([&] {
    float sink = 1;
    for (const double start = clocks.wall(); clocks.wall() - start < seconds;) {
      static_cast<void>(simd::multiply_add_rounds(100000, &sink));
    }
  });
  out.note = "RAPL package energy: idle as found, busy with one thread of multiply-adds";
  return out;
}

}  // namespace jevons::host
