// A row-major matrix of numbers, and nothing more: kernels hold the arithmetic.
#pragma once

#include <cstddef>
#include <vector>

namespace jevons::reference {

template <class T>
class Matrix {
 public:
  Matrix() = default;
  Matrix(long rows, long cols, T value = T{})
      : rows_(rows),
        cols_(cols),
        data_(static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols), value) {}

  [[nodiscard]] long rows() const { return rows_; }
  [[nodiscard]] long cols() const { return cols_; }
  [[nodiscard]] std::size_t size() const { return data_.size(); }
  [[nodiscard]] std::size_t index(long r, long c) const {
    return static_cast<std::size_t>(r) * static_cast<std::size_t>(cols_) +
           static_cast<std::size_t>(c);
  }
  [[nodiscard]] T& operator()(long r, long c) { return data_[index(r, c)]; }
  [[nodiscard]] const T& operator()(long r, long c) const { return data_[index(r, c)]; }
  [[nodiscard]] T* row(long r) { return data_.data() + index(r, 0); }
  [[nodiscard]] const T* row(long r) const { return data_.data() + index(r, 0); }
  [[nodiscard]] std::vector<T>& data() { return data_; }
  [[nodiscard]] const std::vector<T>& data() const { return data_; }
  /// Appends the rows of `other` (a growing cache); widths must agree unless this is empty.
  void append(const Matrix& other) {
    if (rows_ == 0) cols_ = other.cols_;
    data_.insert(data_.end(), other.data_.begin(), other.data_.end());
    rows_ += other.rows_;
  }

 private:
  long rows_ = 0, cols_ = 0;
  std::vector<T> data_;
};

/// Rows first … first + count - 1.
template <class T>
[[nodiscard]] Matrix<T> slice_rows(const Matrix<T>& m, long first, long count) {
  Matrix<T> out(count, m.cols());
  for (long r = 0; r < count; ++r) {
    for (long c = 0; c < m.cols(); ++c) out(r, c) = m(first + r, c);
  }
  return out;
}

/// Columns first … first + count - 1.
template <class T>
[[nodiscard]] Matrix<T> slice_cols(const Matrix<T>& m, long first, long count) {
  Matrix<T> out(m.rows(), count);
  for (long r = 0; r < m.rows(); ++r) {
    for (long c = 0; c < count; ++c) out(r, c) = m(r, first + c);
  }
  return out;
}

}  // namespace jevons::reference
