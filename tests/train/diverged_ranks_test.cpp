// Several ranks whose training diverges: they end together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>

#include "tests/support/temporary_folder.h"
#include "tests/support/thread_ranks.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

using testing::HasSubstr;

constexpr int64_t kRanks = 2;
constexpr int64_t kPart = 16 / kRanks;

/// What a rank's run ends with: the message of Diverged.
std::string diverged(Communicator& ranks, SmallRun& run, const WatchedSource::OnRead& on_read) {
  run.ranks = &ranks;
  run.set("log-every", {"1"}).set("evaluate-every", {"100"}).set("max-skipped-steps", {"1"});
  run.network();  // whose mean image reads all
  run.training = std::make_shared<WatchedSource>(run.training, on_read);
  try {
    run.train();
  } catch (const Diverged& error) {
    return error.what();
  }
  return "it has not diverged";
}

void spoil(SmallRun& run) {
  const Tensor& master = run.trainer().store().parameter("layer2.0.conv1.weight").master;
  std::vector<float> values = master.to_vector();
  values[1] = std::numeric_limits<float>::quiet_NaN();
  master.copy_from(values);
}

// Rank 1 cannot read its part of the failed batch again.
TEST(DivergedRanks, EndTogetherIfOneCannotSayWhereItBegan) {
  const TemporaryFolder folder;
  run_ranks(kRanks, [&](Communicator& ranks) {
    SmallRun run(folder.path());
    run.set("max-bad-images", {"0"});
    const std::string told = diverged(ranks, run, [&](int64_t read, int64_t) {
      if (read == kPart) {
        spoil(run);
      }
      if (read >= 2 * kPart && ranks.rank() == 1) {
        fail("it cannot be read");
      }
    });
    EXPECT_THAT(told, HasSubstr("rank 0: layer2.0.conv1.weight has values that are not finite; rank 1: cannot say where it "
                                "began: "))
        << ranks.rank();
    EXPECT_THAT(told, HasSubstr("it cannot be read")) << ranks.rank();
  });
  EXPECT_EQ(log_of(folder.path(), "diverged").size(), 1U);
}

/// Makes a number of the saved state not finite that no loss depends on any more.
void spoil_velocity(SmallRun& run) {
  run.trainer().store().parameter("fc.bias").velocity.copy_from(std::vector<float>(4, std::numeric_limits<float>::infinity()));
}

/// A rank's run, which `spoils` what it saves during the last validation. The run has a checkpoint by then.
std::string spoiled_at_the_end(Communicator& ranks, const std::string& folder, bool spoils) {
  SmallRun run(folder);
  run.ranks = &ranks;
  run.set("iterations", {"4"}).set("evaluate-every", {"0.5"});
  run.network();
  constexpr int64_t kValidation = 64 / kRanks;
  run.validation = std::make_shared<WatchedSource>(run.validation, [&, spoils](int64_t read, int64_t) {
    if (spoils && read == kValidation) {
      spoil_velocity(run);
    }
  });
  try {
    return run.train() == 0 ? "" : "stopped";
  } catch (const Diverged& error) {
    return error.what();
  }
}

// Rank 0 has a checkpoint, and finds it only after all results have been exchanged.
TEST(DivergedRanks, EndTogetherIfRank0CannotSave) {
  const TemporaryFolder folder;
  run_ranks(kRanks, [&](Communicator& ranks) {
    EXPECT_THAT(spoiled_at_the_end(ranks, folder.path(), true), HasSubstr("fc.bias has values that are not finite"))
        << ranks.rank();
  });
  EXPECT_EQ(log_of(folder.path(), "diverged").size(), 1U);
  EXPECT_EQ(run_state(load_checkpoint(newest_checkpoint(folder.path()))).iteration, 2);
}

// It writes nothing, so it copies nothing either.
TEST(DivergedRanks, ARankThatWritesNothingDoesNotLookAtWhatIsSaved) {
  const TemporaryFolder folder;
  run_ranks(kRanks, [&](Communicator& ranks) {
    EXPECT_EQ(spoiled_at_the_end(ranks, folder.path(), !ranks.leads()), "") << ranks.rank();
  });
  EXPECT_EQ(run_state(load_checkpoint(newest_checkpoint(folder.path()))).iteration, 4);
}

}  // namespace
}  // namespace residua::test
