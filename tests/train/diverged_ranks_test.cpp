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

}  // namespace
}  // namespace residua::test
