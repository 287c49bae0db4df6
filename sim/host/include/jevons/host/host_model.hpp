// Time of an operator on the calibrated host: a roofline by class of work.
//
//   t = Σ_classes work / rate + Σ_products t_gemm + Σ_results t_fresh + calls · t_call
//   t_gemm(m, n, k) = c0 + 2mnk / R + p (mk + kn) + q mn           m > 1 (packed, blocked)
//                   = t_call + 4kn / gemv(4kn)                      m = 1 (the matrix is streamed)
//   + 4(mk + kn) (1/BW(F) - 1/BW(near))                              F: what is touched before the
//                                                                   same bytes are touched again
// Symbols: R FLOP/s of large products; c0 s; p s per packed operand element; q s per result
// element, all four solved (least squares of relative errors) from the calibration's own products;
// BW(F) bytes/s of weights used in turn by their total F, gemv(F) the same of one matrix used
// again. Work is what the operator claims (workloads/operators.hpp), sorted into classes whose
// rates the calibration measured on generic loops: no constant belongs to a kernel. Valid: one
// thread, single precision, the processor and build that were calibrated. Known error: ragged tiles
// and short rows are not seen; see `jevons kernels` for what it amounts to.
#pragma once

#include "jevons/hwmodels/host_calibration.hpp"
#include "jevons/workloads/graph.hpp"
#include "jevons/workloads/operators.hpp"

#include <vector>

namespace jevons::host {

struct Product {
  double m = 0, n = 0, k = 0, count = 1;
};

/// A row-wise loop: so many FLOPs over rows of `length` numbers.
struct Rows {
  double flops = 0, length = 1;
};

/// Work by class. Numbers are what the reference kernels do in their plain loops.
struct HostWork {
  double calls = 0;         ///< calls that make a result
  double dot_flops = 0;     ///< rows multiplied and summed
  double axpy_flops = 0;    ///< rows added with a weight
  double exps = 0;          ///< exponentials
  double turns = 0;         ///< cosine and sine pairs of rotary positions
  double elements = 0;      ///< numbers scaled one by one
  double choices = 0;       ///< comparisons that cannot be foreseen
  double copies = 0;        ///< numbers moved from one matrix to another
  double matrix_flops = 0;  ///< of products whose shape the claim does not give (routers)
  std::vector<Rows> dots;   ///< rows multiplied and summed
  std::vector<Rows> axpys;  ///< rows added with a weight
  std::vector<Product> products;
  std::vector<double> results;  ///< bytes of each result that is allocated

  HostWork& operator+=(const HostWork& other);
};

/// Operators in classes, as the plain loops of the reference do them. Element-wise operators go by
/// the part of the layer they belong to: a norm is a scalar product and a scaling, an activation an
/// exponential and a scaling, the rest copies. Throws Error(bad_input) for operators a single host
/// does not run (collectives).
[[nodiscard]] HostWork host_work(const workloads::Operator& op);
[[nodiscard]] HostWork host_work(const workloads::OperatorGraph& graph);

class HostModel {
 public:
  explicit HostModel(hwmodels::HostCalibration calibration);

  /// `working_set`: bytes touched before the same operands are used again; 0 = only these.
  [[nodiscard]] double seconds(const HostWork& work, double working_set = 0) const;
  [[nodiscard]] double product_seconds(const Product& product, double working_set = 0) const;
  [[nodiscard]] const hwmodels::HostCalibration& calibration() const { return calibration_; }

 private:
  [[nodiscard]] double rate(std::string_view name) const;
  hwmodels::HostCalibration calibration_;
  double start_ = 0, per_flop_ = 0, per_packed_ = 0, per_result_ = 0;
};

}  // namespace jevons::host
