// Random matrices with a fixed seed, and the largest difference of two.
#pragma once

#include "jevons/reference/matrix.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

template <class T = double>
jevons::reference::Matrix<T> random_matrix(long rows, long cols, unsigned seed, double scale = 1) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal(0.0, scale);
  jevons::reference::Matrix<T> m(rows, cols);
  for (T& value : m.data()) value = static_cast<T>(normal(engine));
  return m;
}

template <class T>
double largest_difference(const jevons::reference::Matrix<T>& a,
                          const jevons::reference::Matrix<T>& b) {
  if (a.rows() != b.rows() || a.cols() != b.cols()) return INFINITY;
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, static_cast<double>(std::abs(a.data()[i] - b.data()[i])));
  }
  return worst;
}
