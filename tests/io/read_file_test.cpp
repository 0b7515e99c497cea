#include "core/io/read_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::ElementsAre;

TEST(ReadFile, ReplacesWhatTheMemoryHeld) {
  const TemporaryFolder folder;
  write_bytes(folder / "short", std::string("a\0b", 3));
  std::vector<uint8_t> bytes(100, 7);
  read_file(folder / "short", bytes);
  EXPECT_THAT(bytes, ElementsAre('a', 0, 'b'));
  write_bytes(folder / "empty", "");
  read_file(folder / "empty", bytes);
  EXPECT_TRUE(bytes.empty());
  EXPECT_TRUE(fails_with([&] { read_file(folder / "missing", bytes); }, {folder / "missing", "cannot be opened"}));
  EXPECT_TRUE(fails_with([&] { read_file(folder.path(), bytes); }, {folder.path(), "is not a regular file"}));
}

TEST(ReadLines, DropsLineEndsEmptyLinesAndAByteOrderMark) {
  const TemporaryFolder folder;
  const auto lines = [&](const std::string& text) {
    write_bytes(folder / "names", text);
    return read_lines(folder / "names");
  };
  EXPECT_THAT(lines("cat\ndog\n"), ElementsAre("cat", "dog"));
  EXPECT_THAT(lines("\xef\xbb\xbf"
                    "cat\r\n\r\nhot dog\r\n"),
              ElementsAre("cat", "hot dog"));
  EXPECT_THAT(lines("cat\n\n dog"), ElementsAre("cat", " dog"));
  EXPECT_THAT(lines("cat\n\xef\xbb\xbf"), ElementsAre("cat", "\xef\xbb\xbf"));  // a mark begins a file
  EXPECT_THAT(lines(""), ElementsAre());
  EXPECT_THAT(lines("\xef\xbb\xbf\n"), ElementsAre());
}

}  // namespace
}  // namespace residua::test
