// The reference kernels as things to time: what each claims and how to run it.
#pragma once

#include "jevons/host/host_model.hpp"
#include "jevons/host/sampling.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace jevons::host {

struct KernelCase {
  std::string group;  ///< "product", "attention" …
  std::string name;
  HostWork work;
  double flops = 0;        ///< claimed model FLOPs (a multiply-add is two)
  double working_set = 0;  ///< bytes touched between two uses of the same operand; 0 = its own
  std::function<void()> run;
};

/// Products, attention, element-wise and expert kernels over ragged shapes, and a V3-shaped toy
/// model's prefill, decode and MTP steps. Emulated formats are left out: their time says nothing.
[[nodiscard]] std::vector<KernelCase> kernel_cases();

struct KernelRow {
  std::string group, name;
  double flops = 0;
  double predicted_s = 0;
  hwmodels::Sampled measured_s;
  [[nodiscard]] double error() const { return predicted_s / measured_s.value - 1; }
};
struct KernelReport {
  std::string processor, level, calibrated;
  std::vector<KernelRow> rows;
  [[nodiscard]] double median_absolute_error() const;
  [[nodiscard]] double worst_absolute_error() const;
};
[[nodiscard]] KernelReport run_kernels(const HostModel& model, const Sampling& sampling,
                                       std::vector<KernelCase> cases,
                                       const std::function<void(std::string_view)>& progress);

}  // namespace jevons::host
