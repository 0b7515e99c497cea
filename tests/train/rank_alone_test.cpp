// What a rank does by itself while its norms are those of all ranks: it asks no other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/train/diagnosis.h"
#include "core/train/fitting_batch.h"
#include "tests/support/no_calls.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

using testing::HasSubstr;

/// A training of rank 0 of two, with norms over both.
struct SynchronizedTraining {
  SynchronizedTraining() : run(folder.path()) {
    run.set("sync-bn", {"true"});
    run.ranks = &ranks;
    training.emplace(run.network(), run.config, Device{}, DType::f32, &ranks);
  }
  bool synchronized() const {
    return std::ranges::all_of(training->store().statistics(), [&](const auto* layer) { return layer->ranks == &ranks; });
  }

  TemporaryFolder folder;
  NoCalls ranks{0, 2};
  SmallRun run;
  mutable std::optional<Training> training;
};

TEST(RankAlone, FindsWhereNumbersAreNotFinite) {
  SynchronizedTraining rank;
  const Batch batch = batch_of(*rank.run.training, {0, 1, 2, 3, 4, 5, 6, 7});
  EXPECT_EQ(where_not_finite(*rank.training, rank.run.config, batch), "a training step with these weights is finite");
  EXPECT_TRUE(rank.synchronized());
}

TEST(RankAlone, FindsTheBatchThatFits) {
  SynchronizedTraining rank;
  EXPECT_EQ(
      fitting_batch(*rank.training, rank.run.config),
      ": a pass of about 4 images fits on each rank; set batch-size to 8, or accumulate to 2 for the same step in 2 passes");
  EXPECT_TRUE(rank.synchronized());
}

TEST(RankAlone, FindsTheBatchThatFitsAnEvaluation) {
  SynchronizedTraining rank;
  EXPECT_EQ(fitting_batch(rank.run.network(), rank.run.config, Device{}, DType::f32),
            ": a pass of about 4 images fits on each rank; set batch-size to 8");
}

// Each of four ranks has 64 images of a batch of 256.
TEST(RankAlone, AdvisesTheBatchOfAllRanks) {
  EXPECT_THAT(batch_advice({.batch_size = 256, .ranks = 4}, 32), HasSubstr("batch-size to 128, or accumulate to 2 "));
  EXPECT_THAT(batch_advice({.batch_size = 256, .ranks = 4, .accumulate = 2}, 16),
              HasSubstr("batch-size to 128, or accumulate to 4 "));
  EXPECT_THAT(batch_advice({.batch_size = 256}, 32), HasSubstr("32 images fits; set batch-size to 32, or accumulate to 8 "));
}

}  // namespace
}  // namespace residua::test
