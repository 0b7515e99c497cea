// Runs of several ranks, on threads of this process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "core/run/checkpoint.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/thread_ranks.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

constexpr int64_t kRanks = 2;

/// Six steps that are reported together, at their end.
void settle_one_report(SmallRun& run) { run.set("log-every", {"100"}).set("evaluate-every", {"100"}).set("lr", {"0.001"}); }

/// A rank's run in a folder. `stop_at`: a signal comes while it reads that step; -1: none comes.
int train_rank(Communicator& ranks, const std::string& folder, const std::string& checkpoint, int64_t stop_at) {
  constexpr int64_t kPart = 16 / kRanks;
  SmallRun run(folder);
  run.ranks = &ranks;
  settle_one_report(run);
  run.resume(checkpoint).network();  // whose mean image reads all
  volatile std::sig_atomic_t stop = 0;
  run.training = std::make_shared<WatchedSource>(
      run.training, [&](int64_t reads, int64_t) { stop = stop_at >= 0 && reads >= stop_at * kPart ? SIGTERM : 0; });
  return run.train(stop);
}

// It reports the steps before and after the signal together, each once.
TEST(TrainerOfRanks, ASignalToAnyRankStopsAllAndTheRunGoesOn) {
  const TemporaryFolder folder;
  SmallRun one(folder / "one");
  settle_one_report(one);
  ASSERT_EQ(one.set("bn-group", {"8"}).train(), 0);
  for (int64_t stopped = 0; stopped < kRanks; ++stopped) {
    const std::string place = folder / fmt::format("stopped-{}", stopped);
    run_ranks(kRanks, [&](Communicator& ranks) {
      EXPECT_EQ(train_rank(ranks, place, "", ranks.rank() == stopped ? 3 : -1), SIGTERM) << ranks.rank() << " of " << stopped;
    });
    EXPECT_TRUE(log_of(place, "train").empty());
    const std::string checkpoint = newest_checkpoint(place);
    EXPECT_EQ(checkpoint, place + "/" + checkpoint_name(4));
    run_ranks(kRanks, [&](Communicator& ranks) { EXPECT_EQ(train_rank(ranks, place, checkpoint, -1), 0); });
    for (const char* number : {"iteration", "loss", "top1_error", "top5_error"}) {
      const std::vector<double> want = logged(folder / "one", "train", number);
      const std::vector<double> got = logged(place, "train", number);
      ASSERT_EQ(want.size(), 1u);
      ASSERT_EQ(got.size(), 1u);
      EXPECT_NEAR(got[0], want[0], 1e-4 * want[0]) << number;
    }
  }
}

}  // namespace
}  // namespace residua::test
