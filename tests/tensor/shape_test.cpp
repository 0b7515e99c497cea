#include "core/tensor/shape.h"

#include <gtest/gtest.h>

#include "tests/support/compare.h"

namespace residua::test {
namespace {

TEST(Shape, CountsItsElements) {
  EXPECT_EQ((Shape{2, 3, 4, 5}).size(), 120);
  EXPECT_EQ((Shape{}).size(), 1);
  EXPECT_EQ((Shape{}).rank(), 0);
  EXPECT_EQ((Shape{7, 0, 3}).size(), 0);
  EXPECT_EQ((Shape{2, 3}).string(), "[2, 3]");
}

TEST(Shape, CountsDimensionsFromBothEnds) {
  const Shape shape{2, 3, 4};
  EXPECT_EQ(shape.dim(0), 2);
  EXPECT_EQ(shape[2], 4);
  EXPECT_EQ(shape.dim(-1), 4);
  EXPECT_EQ(shape.dim(-3), 2);
  EXPECT_TRUE(fails_with([&] { shape.dim(3); }, {"3", "[2, 3, 4]"}));
  EXPECT_TRUE(fails_with([&] { shape.dim(-4); }, {"-4", "[2, 3, 4]"}));
}

TEST(Shape, ComparesRankAndSizes) {
  EXPECT_EQ((Shape{2, 3}), (Shape{2, 3}));
  EXPECT_NE((Shape{2, 3}), (Shape{3, 2}));
  EXPECT_NE((Shape{2, 3}), (Shape{2, 3, 1}));
  EXPECT_NE((Shape{}), (Shape{1}));
}

TEST(Shape, RefusesWhatCannotBe) {
  EXPECT_TRUE(fails_with([] { Shape{2, -1}; }, {"-1"}));
  EXPECT_TRUE(fails_with([] { Shape{1, 1, 1, 1, 1}; }, {"5"}));
  const int64_t large = int64_t{1} << 31;
  EXPECT_EQ((Shape{large, large}).size(), int64_t{1} << 62);
  EXPECT_TRUE(fails_with([&] { Shape{large, large, 2}; }, {"exceeds 2^62"}));
  EXPECT_TRUE(fails_with([&] { Shape{large, large, large, large}; }, {"exceeds 2^62"}));
  // A product that wraps round to something small.
  EXPECT_TRUE(fails_with([&] { Shape{int64_t{1} << 33, (int64_t{1} << 31) + 1, 2}; }, {"exceeds 2^62"}));
}

TEST(Shape, ChecksProducts) {
  EXPECT_EQ(checked_multiply(3, 4), 12);
  EXPECT_EQ(checked_multiply(0, int64_t{1} << 62), 0);
  EXPECT_TRUE(fails_with([] { checked_multiply(int64_t{1} << 40, int64_t{1} << 40); }, {}));
  EXPECT_TRUE(fails_with([] { checked_multiply(-1, 4); }, {}));
}

}  // namespace
}  // namespace residua::test
