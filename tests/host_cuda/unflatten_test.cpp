#include "cuda/device/unflatten.cuh"

#include <gtest/gtest.h>

#include <vector>

#include "tests/support/random.h"

namespace residua::test {
namespace {

using namespace cuda;

constexpr int64_t kLimit = Divisor::kLimit;

TEST(Divisor, DividesAtEveryStep) {
  Random random("divisors");
  std::vector<int64_t> divisors{
      1, 2, 3, 5, 7, 8, 64, 641, 65535, 65536, 65537, kLimit / 2 + 1, kLimit - 1, kLimit, kLimit + 1, kLimit * 8 + 3};
  for (int i = 0; i < 300; ++i) {
    divisors.push_back(random.integer(1, int64_t{1} << random.integer(1, 31)));
  }
  for (const int64_t divisor : divisors) {
    const Divisor divide(divisor);
    std::vector<int64_t> numbers{0, 1, kLimit - 1, kLimit, kLimit + 1, kLimit * 100};
    for (int i = 0; i < 300; ++i) {
      // Quotients change at the multiples.
      const int64_t multiple = random.integer(0, 2 * kLimit / divisor + 1) * divisor;
      numbers.insert(numbers.end(), {multiple, multiple + 1, multiple > 0 ? multiple - 1 : 0});
    }
    for (const int64_t n : numbers) {
      ASSERT_EQ(divide(n), n / divisor) << n << " / " << divisor;
    }
  }
}

TEST(Unflatten, TakesIndicesOfAnySizeApart) {
  Random random("unflatten");
  for (const int64_t rows : {int64_t{1}, int64_t{7}, int64_t{56}}) {
    for (const int64_t columns : {int64_t{1}, int64_t{5}, int64_t{57}}) {
      for (const int64_t depth : {int64_t{1}, int64_t{8}, int64_t{1001}}) {
        const Unflatten unflatten(rows, columns, depth);
        for (int i = 0; i < 200; ++i) {
          const int64_t index = i < 100 ? random.integer(0, kLimit - 1) : random.integer(kLimit - 2, kLimit * 50);
          const Unflatten::Place at = unflatten(index);
          ASSERT_TRUE(at.row >= 0 && at.row < rows && at.column >= 0 && at.column < columns && at.depth >= 0 &&
                      at.depth < depth);
          ASSERT_EQ(((at.image * rows + at.row) * columns + at.column) * depth + at.depth, index);
          if (index < kLimit) {
            const auto [image, row, column, place] = unflatten.of_small(static_cast<int>(index));
            ASSERT_TRUE(image == at.image && row == at.row && column == at.column && place == at.depth);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace residua::test
