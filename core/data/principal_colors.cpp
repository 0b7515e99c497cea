#include "core/data/principal_colors.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace residua {
namespace {

using Matrix = std::array<std::array<double, 3>, 3>;

/// Rotates the axes i and j so that m[i][j] becomes 0. The rows of `axes` are the axes so far.
void rotate(Matrix& m, Matrix& axes, size_t i, size_t j) {
  if (m[i][j] == 0) {
    return;
  }
  const double theta = (m[j][j] - m[i][i]) / (2 * m[i][j]);
  const double tangent = std::copysign(1.0, theta) / (std::fabs(theta) + std::hypot(theta, 1.0));
  const double cosine = 1 / std::hypot(tangent, 1.0);
  const double sine = tangent * cosine;
  for (size_t k = 0; k < 3; ++k) {
    const double a = m[k][i];
    const double b = m[k][j];
    m[k][i] = cosine * a - sine * b;
    m[k][j] = sine * a + cosine * b;
  }
  for (Matrix* rows : {&m, &axes}) {
    for (size_t k = 0; k < 3; ++k) {
      const double a = (*rows)[i][k];
      const double b = (*rows)[j][k];
      (*rows)[i][k] = cosine * a - sine * b;
      (*rows)[j][k] = sine * a + cosine * b;
    }
  }
}

}  // namespace

PrincipalColors principal_colors(Matrix m) {
  constexpr int kSweeps = 32;  // each squares the size of what is left: five or six are enough
  Matrix axes{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  for (int sweep = 0; sweep < kSweeps; ++sweep) {
    rotate(m, axes, 0, 1);
    rotate(m, axes, 0, 2);
    rotate(m, axes, 1, 2);
  }
  std::array<size_t, 3> order{0, 1, 2};
  std::ranges::sort(order, [&](size_t a, size_t b) { return m[a][a] > m[b][b]; });
  PrincipalColors colors{};
  for (size_t k = 0; k < 3; ++k) {
    const std::array<double, 3>& axis = axes[order[k]];
    const double largest = *std::ranges::max_element(axis, {}, [](double x) { return std::fabs(x); });
    colors.eigenvalues[k] = std::max(m[order[k]][order[k]], 0.0);
    std::ranges::transform(axis, colors.components[k].begin(), [&](double x) { return std::copysign(1.0, largest) * x; });
  }
  return colors;
}

}  // namespace residua
