#include "core/data/principal_colors.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/base/random.h"

namespace residua::test {
namespace {

using Matrix = std::array<std::array<double, 3>, 3>;

double dot(const std::array<double, 3>& a, const std::array<double, 3>& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

void expect_components(const PrincipalColors& got, const PrincipalColors& want) {
  for (size_t k = 0; k < 3; ++k) {
    EXPECT_NEAR(got.eigenvalues[k], want.eigenvalues[k], 1e-14) << k;
    for (size_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(got.components[k][c], want.components[k][c], 1e-14) << k << " " << c;
    }
  }
}

TEST(PrincipalColors, OfAMatrixWithKnownOnes) {
  // 1 * a a' + 5 * b b' + 2 * c c' with a = (0, 0, 1), b = (3, 4, 0) / 5, c = (4, -3, 0) / 5.
  expect_components(principal_colors({{{3.08, 1.44, 0}, {1.44, 3.92, 0}, {0, 0, 1}}}),
                    {{5, 2, 1}, {{{0.6, 0.8, 0}, {0.8, -0.6, 0}, {0, 0, 1}}}});
  expect_components(principal_colors({{{1, 0, 0}, {0, 3, 0}, {0, 0, 2}}}), {{3, 2, 1}, {{{0, 1, 0}, {0, 0, 1}, {1, 0, 0}}}});
  const PrincipalColors none = principal_colors({});
  EXPECT_EQ(none.eigenvalues, (std::array<double, 3>{0, 0, 0})) << "of images that are all alike";
}

TEST(PrincipalColors, AreUnitEigenvectorsAtRightAngles) {
  Random random(1, RandomPurpose::augmentation, 0, 0);
  for (int draw = 0; draw < 200; ++draw) {
    std::array<std::array<double, 3>, 3> factor{};
    for (auto& row : factor) {
      for (double& x : row) {
        x = random.normal();
      }
    }
    Matrix m{};  // factor * factor', which has no negative eigenvalue
    for (size_t i = 0; i < 3; ++i) {
      for (size_t j = 0; j < 3; ++j) {
        m[i][j] = dot(factor[i], factor[j]);
      }
    }
    const PrincipalColors got = principal_colors(m);
    EXPECT_GE(got.eigenvalues[0], got.eigenvalues[1]);
    EXPECT_GE(got.eigenvalues[1], got.eigenvalues[2]);
    for (size_t k = 0; k < 3; ++k) {
      for (size_t l = 0; l < 3; ++l) {
        ASSERT_NEAR(dot(got.components[k], got.components[l]), k == l ? 1.0 : 0.0, 1e-12);
      }
      for (size_t i = 0; i < 3; ++i) {
        ASSERT_NEAR(dot(m[i], got.components[k]), got.eigenvalues[k] * got.components[k][i], 1e-11);
      }
    }
  }
}

TEST(PrincipalColors, OfImageNetAreUnitVectorsAtRightAngles) {
  for (size_t k = 0; k < 3; ++k) {
    for (size_t l = 0; l < 3; ++l) {
      EXPECT_NEAR(dot(kImageNetColors.components[k], kImageNetColors.components[l]), k == l ? 1.0 : 0.0, 2e-4)
          << "as far as four digits go";
    }
  }
}

}  // namespace
}  // namespace residua::test
