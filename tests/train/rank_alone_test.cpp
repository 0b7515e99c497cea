// What a rank does by itself while its norms are those of all ranks: it asks no other.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/train/diagnosis.h"
#include "tests/support/no_calls.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

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

}  // namespace
}  // namespace residua::test
