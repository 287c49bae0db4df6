#include "jevons/host/sampling.hpp"

#include <algorithm>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace jevons::host {

void keep_memory() {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the most glibc takes
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
#endif
}

hwmodels::Sampled summary(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  const std::size_t n = samples.size();
  const double median = 0.5 * (samples[(n - 1) / 2] + samples[n / 2]);
  const double range = samples[(3 * (n - 1)) / 4] - samples[(n - 1) / 4];
  return {median, median > 0 ? range / median : 0.0, static_cast<int>(n)};
}

hwmodels::Sampled seconds_of(const Sampling& how, const std::function<void()>& work) {
  const auto& clock = how.clocks.busy;
  const auto timed = [&](long rounds) {
    const double start = clock();
    for (long i = 0; i < rounds; ++i) work();
    return clock() - start;
  };
  // The first call is warm-up; rounds then double until a sample is long enough.
  work();
  long rounds = 1;
  double took = timed(rounds);
  while (took < how.sample_s && rounds < (1L << 30)) {
    rounds *= 2;
    took = timed(rounds);
  }
  std::vector<double> samples;
  for (int i = 0; i < how.repeats; ++i) {
    samples.push_back(timed(rounds) / static_cast<double>(rounds));
  }
  return summary(std::move(samples));
}

hwmodels::Sampled rate_of(const Sampling& how, double amount, const std::function<void()>& work) {
  hwmodels::Sampled out = seconds_of(how, work);
  out.value = amount / out.value;
  return out;
}

}  // namespace jevons::host
