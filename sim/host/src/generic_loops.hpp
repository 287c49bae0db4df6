// Loops whose rates stand for a class of work: what a scalar product, a weighted row, an
// exponential or a copy costs in this build on this processor. They know nothing of any kernel.
#pragma once

#include <vector>

namespace jevons::host {

/// Allocates, clears and returns `count` numbers.
[[nodiscard]] std::vector<float> fresh(long count);
/// `rows` rows of `length` numbers, `stride` apart.
struct Block {
  const float* data = nullptr;
  long rows = 0, length = 0, stride = 0;
};
/// out[r] = factor (row r · vector), each summed in order.
void dot_rows(const Block& block, const float* vector, float factor, float* out);
/// y += weights[r] row r, one row after the other.
void axpy_rows(const Block& block, const float* weights, float* y);
/// x[i] = exp(x[i] - top), and their sum.
float exponentials(float top, float* x, long count);
/// cos and sin of step, 2 step …; returns a value that depends on all.
[[nodiscard]] double turns(double step, long count);
/// y[i] = x[i] scale gain[i], the scaling in double precision.
void scale(const float* x, double factor, const float* gain, float* y, long count);
/// Sorts `count` numbers, largest first: about count log2(count) comparisons.
void sort_down(float* x, long count);
/// `rows` x `cols` of a matrix into another, element by element.
void copy_block(const float* from, long from_stride, float* to, long to_stride, long rows,
                long cols);

}  // namespace jevons::host
