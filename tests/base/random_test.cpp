#include "core/base/random.h"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <vector>

namespace residua::test {
namespace {

// The known answers of the authors' library (Random123, kat_vectors).
TEST(Philox, GivesThePublishedAnswers) {
  using Block = std::array<uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, EveryPartOfItsKeyCounts) {
  std::set<uint32_t> first;
  for (const uint64_t seed : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32}) {
    for (const RandomPurpose purpose : {RandomPurpose::order, RandomPurpose::augmentation}) {
      for (const uint64_t epoch : {0, 1}) {
        for (const uint64_t index : {uint64_t{0}, uint64_t{1}, uint64_t{1} << 32, uint64_t{1} << 55}) {
          first.insert(Random(seed, purpose, epoch, index).bits());
        }
      }
    }
  }
  EXPECT_EQ(first.size(), 3u * 2u * 2u * 4u);
}

TEST(Random, RepeatsItself) {
  Random a(7, RandomPurpose::order, 3, 11);
  Random b(7, RandomPurpose::order, 3, 11);
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(a.bits(), b.bits());
  }
}

TEST(Random, BelowIsUniform) {
  Random random(1, RandomPurpose::order, 0, 0);
  constexpr int64_t kCount = 7;
  constexpr int kDraws = 70'000;
  std::array<int, kCount> hits{};
  for (int i = 0; i < kDraws; ++i) {
    const int64_t draw = random.below(kCount);
    ASSERT_GE(draw, 0);
    ASSERT_LT(draw, kCount);
    ++hits[static_cast<size_t>(draw)];
  }
  for (const int hit : hits) {
    EXPECT_NEAR(hit, kDraws / kCount, 500);  // five standard deviations
  }
  EXPECT_EQ(random.below(1), 0);
}

TEST(Random, UniformStaysInItsRange) {
  Random random(1, RandomPurpose::order, 0, 0);
  double sum = 0;
  constexpr int kDraws = 10'000;
  for (int i = 0; i < kDraws; ++i) {
    const double draw = random.uniform(-2.0, 6.0);
    ASSERT_GE(draw, -2.0);
    ASSERT_LT(draw, 6.0);
    sum += draw;
  }
  EXPECT_NEAR(sum / kDraws, 2.0, 0.12);
}

TEST(Random, NormalHasTheMomentsOfTheNormalDistribution) {
  Random random(1, RandomPurpose::order, 0, 0);
  std::array<double, 4> moments{};
  constexpr int kDraws = 100'000;
  for (int i = 0; i < kDraws; ++i) {
    const double draw = random.normal();
    double power = 1;
    for (double& moment : moments) {
      power *= draw;
      moment += power / kDraws;
    }
  }
  EXPECT_NEAR(moments[0], 0.0, 0.02);
  EXPECT_NEAR(moments[1], 1.0, 0.03);
  EXPECT_NEAR(moments[2], 0.0, 0.08);
  EXPECT_NEAR(moments[3], 3.0, 0.2);
}

}  // namespace
}  // namespace residua::test
