// Shared by the files that list the kernels to time.
#pragma once

#include "jevons/host/kernel_cases.hpp"
#include "jevons/reference/matrix.hpp"

#include <cstdint>
#include <vector>

namespace jevons::host {

/// Small numbers that are the same on every machine.
[[nodiscard]] reference::Matrix<float> random_matrix(long rows, long cols, unsigned seed);
/// Reads a result so that the work that made it cannot be left out.
void keep(const reference::Matrix<float>& result);

/// Prefill, decode and MTP of the toy model.
void toy_cases(std::vector<KernelCase>& out);

}  // namespace jevons::host
