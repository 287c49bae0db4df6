#include "generic_loops.hpp"

#include <algorithm>
#include <cmath>

namespace jevons::host {

std::vector<float> fresh(long count) {
  return std::vector<float>(static_cast<std::size_t>(count));
}

void dot_rows(const Block& block, const float* vector, float factor, float* out) {
  for (long r = 0; r < block.rows; ++r) {
    const float* row = block.data + r * block.stride;
    float sum = 0;
    for (long i = 0; i < block.length; ++i) sum += vector[i] * row[i];
    out[r] = sum * factor;
  }
}

void axpy_rows(const Block& block, const float* weights, float* y) {
  for (long r = 0; r < block.rows; ++r) {
    const float* row = block.data + r * block.stride;
    const float weight = weights[r];
    for (long i = 0; i < block.length; ++i) y[i] += weight * row[i];
  }
}

float exponentials(float top, float* x, long count) {
  float sum = 0;
  for (long i = 0; i < count; ++i) sum += x[i] = std::exp(x[i] - top);
  return sum;
}

double turns(double step, long count) {
  double total = 0;
  for (long i = 1; i <= count; ++i) {
    const double angle = step * static_cast<double>(i);
    total += std::cos(angle) - std::sin(angle);
  }
  return total;
}

void scale(const float* x, double factor, const float* gain, float* y, long count) {
  for (long i = 0; i < count; ++i) {
    y[i] = static_cast<float>(static_cast<double>(x[i]) * factor) * gain[i];
  }
}

void sort_down(float* x, long count) {
  std::sort(x, x + count, [](float a, float b) { return a > b; });
}

void copy_block(const float* from, long from_stride, float* to, long to_stride, long rows,
                long cols) {
  for (long r = 0; r < rows; ++r) {
    for (long c = 0; c < cols; ++c) to[r * to_stride + c] = from[r * from_stride + c];
  }
}

}  // namespace jevons::host
