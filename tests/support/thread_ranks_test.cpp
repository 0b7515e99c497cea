#include "tests/support/thread_ranks.h"

#include <gmock/gmock.h>

#include "tests/support/compare.h"

namespace residua::test {
namespace {

using ::testing::ElementsAre;

TEST(ThreadRanks, ExchangeInTheOrderOfTheRanks) {
  run_ranks(3, [](Communicator& ranks) {
    const auto number = static_cast<float>(ranks.rank());
    EXPECT_THAT(ranks.gather(fmt::format("rank {}", ranks.rank())), ElementsAre("rank 0", "rank 1", "rank 2"));
    const Tensor sum = from_values({2}, std::vector<float>{number, 1});
    const Tensor first = full({1}, number + 7, DType::f32);
    const Tensor rows = zeros({3, 2}, DType::f32);
    rows.slice(2 * ranks.rank(), {2}).copy_from(std::vector<float>{number, -number});
    ranks.sum(sum);
    ranks.broadcast(first);
    ranks.gather_rows(rows);
    EXPECT_THAT(sum.to_vector(), ElementsAre(number, 1)) << "before finish()";
    ranks.finish();
    EXPECT_THAT(sum.to_vector(), ElementsAre(3, 3));
    EXPECT_THAT(first.to_vector(), ElementsAre(7));
    EXPECT_THAT(rows.to_vector(), ElementsAre(0, 0, 1, -1, 2, -2));
  });
}

TEST(ThreadRanks, ExchangeAtOnceIfTheyAreEarly) {
  run_ranks(
      2,
      [](Communicator& ranks) {
        const Tensor x = full({1}, static_cast<float>(ranks.rank() + 1), DType::f32);
        ranks.sum(x);
        EXPECT_THAT(x.to_vector(), ElementsAre(3)) << "before finish()";
        ranks.finish();
        EXPECT_THAT(x.to_vector(), ElementsAre(3));
      },
      Timing::early);
}

TEST(ThreadRanks, DifferentCallsFail) {
  const auto run = [] {
    run_ranks(2, [](Communicator& ranks) {
      const Tensor x = zeros({2, 2}, DType::f32);
      ranks.rank() == 0 ? ranks.sum(x) : ranks.gather_rows(x);
      ranks.finish();
    });
  };
  EXPECT_TRUE(fails_with(run, {"sum of [2, 2]", "gather_rows of [2, 2]"}));
}

TEST(ThreadRanks, AFailureEndsTheOthers) {
  const auto run = [] {
    run_ranks(3, [](Communicator& ranks) {
      if (ranks.rank() == 1) {
        fail("rank 1 has no more data");
      }
      ranks.gather("");
    });
  };
  EXPECT_TRUE(fails_with(run, {"rank 1 has no more data"}));
}

TEST(ThreadRanks, NobodyWaitsForARankThatHasEnded) {
  const auto run = [] {
    run_ranks(3, [](Communicator& ranks) {
      if (ranks.rank() != 1) {
        ranks.gather("");
      }
    });
  };
  EXPECT_TRUE(fails_with(run, {"has ended without this call"}));
}

}  // namespace
}  // namespace residua::test
