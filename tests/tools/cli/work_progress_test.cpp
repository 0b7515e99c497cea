#include "tools/cli/work_progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

TEST(WorkProgress, SaysHowFarAndHowLong) {
  EXPECT_EQ(format_work("packing train", 12800, 50000, 930.4, 40),
            "packing train: 12800 of 50000 images  26 %  930 img/s  ETA 0:40");
  EXPECT_EQ(format_work("verifying", 0, 10, 0, std::numeric_limits<double>::infinity()),
            "verifying: 0 of 10 images  0 %  0 img/s  ETA ?");
}

TEST(WorkProgress, PrintsTheEndAsALineWhereThereIsNoTerminal) {
  const TemporaryFolder folder;
  std::FILE* file = std::fopen((folder / "out").c_str(), "w");
  ASSERT_NE(file, nullptr);
  {
    WorkProgress work(file, "verifying", 100);
    for (const int64_t done : {40, 50, 60, 100}) {
      work.advance(done);
    }
  }
  std::fclose(file);
  EXPECT_THAT(read_bytes(folder / "out"), testing::MatchesRegex("verifying: 100 of 100 images  100 %  .* img/s  ETA 0:00\n"));
}

}  // namespace
}  // namespace residua::test
