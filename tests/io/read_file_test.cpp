#include "core/io/read_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/io/file_system.h"
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

/// A file system on which each file seems to have so many bytes.
class LargeFiles final : public FileSystem {
 public:
  explicit LargeFiles(off_t bytes) : bytes_(bytes) {}
  off_t size(int) override { return bytes_; }

 private:
  const off_t bytes_;
};

TEST(ReadFile, RefusesAFileOfMoreThanTwoGibibytesBeforeItTakesMemory) {
  const TemporaryFolder folder;
  write_bytes(folder / "large", "abc");
  LargeFiles large((off_t{1} << 31) + 1);
  const ScopedFileSystem in_force(large);
  std::vector<uint8_t> bytes;
  EXPECT_TRUE(fails_with([&] { read_file(folder / "large", bytes); },
                         {folder / "large", "2147483649 bytes; wanted at most 2147483648"}));
  EXPECT_TRUE(bytes.empty());
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
