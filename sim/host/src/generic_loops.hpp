// Loops whose rates stand for a class of work: what a scalar product, a weighted row, an
// exponential or a copy costs in this build on this processor. They know nothing of any kernel.
#pragma once

#include <vector>

namespace jevons::host {

/// Allocates, clears and returns `count` numbers.
[[nodiscard]] std::vector<float> fresh(long count);
/// Sum of a[i] b[i], in order.
[[nodiscard]] float dot(const float* a, const float* b, long count);
/// y[i] += weight x[i].
void axpy(float weight, const float* x, float* y, long count);
/// x[i] = exp(x[i] - top), and their sum.
float exponentials(float top, float* x, long count);
/// cos and sin of step, 2 step …; returns a value that depends on all.
[[nodiscard]] double turns(double step, long count);
/// y[i] = x[i] scale gain[i], the scaling in double precision.
void scale(const float* x, double factor, const float* gain, float* y, long count);
/// `rows` x `cols` of a matrix into another, element by element.
void copy_block(const float* from, long from_stride, float* to, long to_stride, long rows,
                long cols);

}  // namespace jevons::host
