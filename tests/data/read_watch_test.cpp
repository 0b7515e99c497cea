#include "core/data/read_watch.h"

#include <gtest/gtest.h>

#include <stdexcept>

namespace residua::test {
namespace {

TEST(ReadWatch, NamesTheImageWhileItIsRead) {
  ReadWatch watch;
  EXPECT_EQ(watch.image(), -1);
  watch.during(7, [&] { EXPECT_EQ(watch.image(), 7); });
  EXPECT_EQ(watch.image(), -1);
  EXPECT_THROW(watch.during(8, [] { throw std::runtime_error("no such file"); }), std::runtime_error);
  EXPECT_EQ(watch.image(), -1);
  EXPECT_FALSE(watch.leave_behind()) << "no read is under way";
}

TEST(ReadWatch, AReadThatIsLeftBehindEndsInNothingElse) {
  for (const bool fails : {false, true}) {
    ReadWatch watch;
    const auto read = [&] {
      EXPECT_TRUE(watch.leave_behind());
      EXPECT_EQ(watch.image(), -1);
      if (fails) {
        throw std::runtime_error("no such file");
      }
    };
    EXPECT_THROW(watch.during(7, read), ReadWatch::LeftBehind);
    EXPECT_THROW(watch.during(8, [] { FAIL() << "must not be read"; }), ReadWatch::LeftBehind);
  }
}

}  // namespace
}  // namespace residua::test
