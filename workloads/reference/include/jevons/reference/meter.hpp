// Counting while computing. A kernel that is given a Meter runs its plain loops and reports each
// multiply-add as it does it, and each element of each operand when it first touches it: what the
// counts compare with are the claims of workloads/operators.hpp. Without a Meter kernels may take
// a faster path with the same result.
#pragma once

#include "jevons/workloads/operators.hpp"

#include <array>
#include <cstddef>
#include <vector>

namespace jevons::reference {

using workloads::TensorClass;

struct Meter {
  double multiply_adds = 0;  ///< of matrix products and attention
  double other_flops = 0;    ///< exponentials, scalings, norms: not counted as model FLOPs
  std::array<double, workloads::kTensorClasses> bytes{};

  [[nodiscard]] double flops() const { return 2 * multiply_adds; }
  [[nodiscard]] double of(TensorClass c) const { return bytes[static_cast<std::size_t>(c)]; }
};

/// How an operand is stored, which need not be the type a reference kernel computes in.
struct Storage {
  TensorClass tensor_class = TensorClass::activations;
  double bytes_per_element = 2;
};

/// One operand of one kernel call: an element is read (or written) once, however often it is used.
class Operand {
 public:
  Operand(Meter* meter, Storage storage, std::size_t elements)
      : meter_(meter), storage_(storage), seen_(meter == nullptr ? 0 : elements, false) {}
  void touch(std::size_t element) {
    if (meter_ == nullptr || seen_[element]) return;
    seen_[element] = true;
    meter_->bytes[static_cast<std::size_t>(storage_.tensor_class)] += storage_.bytes_per_element;
  }
  void touch_range(std::size_t first, std::size_t count) {
    if (meter_ == nullptr) return;  // else the empty loop costs as much as the kernel's own
    for (std::size_t i = 0; i < count; ++i) touch(first + i);
  }

 private:
  Meter* meter_;
  Storage storage_;
  std::vector<bool> seen_;
};

}  // namespace jevons::reference
