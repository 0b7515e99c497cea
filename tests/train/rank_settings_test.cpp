// Settings that several ranks cannot train with.
#include <gtest/gtest.h>

#include "tests/data/synthetic_source.h"
#include "tests/support/compare.h"
#include "tests/support/no_calls.h"
#include "tests/train/small_run.h"

namespace residua::test {
namespace {

/// Makes the network of a run of two ranks in batches of 32, of 4 passes, with norms over both.
void make_synchronized(int64_t images, const char* no_shuffle) {
  NoCalls ranks(0, 2);
  SmallRun run("no folder");
  run.ranks = &ranks;
  run.training = open_synthetic(Split::train, {.image_size = 16, .classes = 4, .images = images, .seed = 1});
  run.set("batch-size", {"32"}).set("sync-bn", {"true"}).set("accumulate", {"4"}).set("no-shuffle", {no_shuffle});
  run.network();
}

// Of 17 images, the ranks have 8 and 9: 2 and 3 passes of 4.
TEST(RankSettings, SynchronizedPassesNeedWholeBatches) {
  EXPECT_TRUE(fails_with([] { make_synchronized(17, "false"); }, {"sync-bn", "the last batch has 17 of 32 images"}));
  EXPECT_TRUE(fails_with([] { make_synchronized(49, "true"); }, {"sync-bn", "the last batch has 17 of 32 images"}));
  EXPECT_NO_THROW(make_synchronized(49, "false")) << "it drops the last batch";
  EXPECT_NO_THROW(make_synchronized(64, "true"));
}

}  // namespace
}  // namespace residua::test
