// Repeated timing of a piece of work: medians and spread, with clocks that the caller gives.
#pragma once

#include "jevons/hwmodels/host_calibration.hpp"

#include <functional>
#include <vector>

namespace jevons::host {

/// Seconds since some fixed moment. `busy` advances only while this thread runs (so that other
/// processes on the machine do not count), `wall` always.
struct Clocks {
  std::function<double()> busy;
  std::function<double()> wall;
  std::function<void(double)> sleep;  ///< seconds
};

struct Sampling {
  Clocks clocks;
  int repeats = 15;
  double sample_s = 4e-3;  ///< each sample runs the work as often as fills this time
};

/// Makes the allocator keep freed memory instead of giving it back to the system (glibc; elsewhere
/// nothing), as an inference engine does. Otherwise it depends on the state of the heap whether a
/// result costs page faults, and timings of the same product have two values 1.6 times apart.
/// For the whole process: called once before measuring.
void keep_memory();

/// Median and interquartile range over the median. Precondition: not empty.
[[nodiscard]] hwmodels::Sampled summary(std::vector<double> samples);
/// Seconds of one run of `work`.
[[nodiscard]] hwmodels::Sampled seconds_of(const Sampling& how, const std::function<void()>& work);
/// `amount` over seconds_of.
[[nodiscard]] hwmodels::Sampled rate_of(const Sampling& how, double amount,
                                        const std::function<void()>& work);

}  // namespace jevons::host
