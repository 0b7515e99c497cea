#include "core/data/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "core/base/error.h"

namespace residua::test {
namespace {

std::vector<int64_t> first_numbers(int64_t count) {
  std::vector<int64_t> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), int64_t{0});
  return numbers;
}

std::vector<int64_t> sorted(std::vector<int64_t> numbers) {
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

TEST(Sampler, VisitsEverySampleOnce) {
  for (const int64_t size : {1, 2, 10, 1000}) {
    const Sampler sampler({.size = size, .seed = 3});
    EXPECT_EQ(sorted(sampler.order(0)), first_numbers(size));
    EXPECT_EQ(sampler.size(), size);
  }
}

TEST(Sampler, TheOrderIsFixedForAllTime) {
  EXPECT_EQ(Sampler({.size = 10, .seed = 1}).order(0), (std::vector<int64_t>{7, 5, 6, 1, 4, 2, 8, 9, 3, 0}));
}

TEST(Sampler, DependsOnSeedAndEpochAlone) {
  const Sampler sampler({.size = 100, .seed = 3});
  EXPECT_EQ(sampler.order(4), Sampler({.size = 100, .seed = 3}).order(4));
  EXPECT_NE(sampler.order(4), sampler.order(5));
  EXPECT_NE(sampler.order(4), Sampler({.size = 100, .seed = 4}).order(4));
}

TEST(Sampler, WithoutShufflingKeepsTheOrder) {
  EXPECT_EQ(Sampler({.size = 20, .seed = 3, .shuffle = false}).order(7), first_numbers(20));
}

// Each of the 24 orders of 4 samples comes up about equally often.
TEST(Sampler, ShufflesFairly) {
  const Sampler sampler({.size = 4, .seed = 11});
  std::vector<std::vector<int64_t>> orders;
  for (int64_t epoch = 0; epoch < 4800; ++epoch) {
    orders.push_back(sampler.order(epoch));
  }
  std::vector<int64_t> permutation = first_numbers(4);
  do {
    EXPECT_NEAR(static_cast<double>(std::count(orders.begin(), orders.end(), permutation)), 200,
                70);  // five standard deviations
  } while (std::next_permutation(permutation.begin(), permutation.end()));
}

TEST(Sampler, RefusesNonsense) { EXPECT_THROW(Sampler({.size = 0}), UsageError); }

}  // namespace
}  // namespace residua::test
