#include "jevons/host/kernel_cases.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace jevons::host {
namespace {

std::vector<double> absolute_errors(const std::vector<KernelRow>& rows) {
  std::vector<double> out;
  for (const KernelRow& row : rows) out.push_back(std::abs(row.error()));
  return out;
}

}  // namespace

double KernelReport::median_absolute_error() const {
  return rows.empty() ? 0.0 : summary(absolute_errors(rows)).value;
}

double KernelReport::worst_absolute_error() const {
  const std::vector<double> errors = absolute_errors(rows);
  return errors.empty() ? 0.0 : *std::max_element(errors.begin(), errors.end());
}

KernelReport run_kernels(const HostModel& model, const Sampling& sampling,
                         std::vector<KernelCase> cases,
                         const std::function<void(std::string_view)>& progress) {
  KernelReport report;
  report.processor = model.calibration().processor;
  report.level = model.calibration().level;
  report.calibrated = model.calibration().date;
  for (KernelCase& c : cases) {
    progress(c.name);
    KernelRow row;
    row.group = std::move(c.group);
    row.name = std::move(c.name);
    row.flops = c.flops;
    row.predicted_s = model.seconds(c.work, c.working_set);
    row.measured_s = seconds_of(sampling, c.run);
    report.rows.push_back(std::move(row));
  }
  return report;
}

}  // namespace jevons::host
