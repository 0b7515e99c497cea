#include "core/data/class_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "core/base/error.h"
#include "core/data/shards/shard_index.h"
#include "core/data/source.h"
#include "tests/data/image_fixtures.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using ::testing::ElementsAre;

constexpr const char* kMark = "\xef\xbb\xbf";

TEST(ClassNames, AByteOrderMarkIsNoPartOfTheFirst) {
  const TemporaryFolder folder;
  const auto names = [&](const std::string& text) {
    write_bytes(folder / "names", text);
    return read_class_names(folder / "names");
  };
  EXPECT_THAT(names(std::string(kMark) + "cat\r\ndog\n"), ElementsAre("cat", "dog"));
  EXPECT_THAT(names(std::string("cat\n") + kMark + "dog"), ElementsAre("cat", std::string(kMark) + "dog"));
  EXPECT_THAT(names("cat\n\n\r\n"), ElementsAre("cat")) << "empty lines at the end";
}

TEST(ClassNames, AnEmptyLineWouldShiftTheLabels) {
  const TemporaryFolder folder;
  for (const std::string text : {"cat\n\ndog\n", "\ncat\n", "cat\r\n\r\ndog", "", "\n", kMark}) {
    write_bytes(folder / "names", text);
    EXPECT_THROW(read_class_names(folder / "names"), UsageError) << text;
  }
}

// The same file beside shards and beside a flat folder of validation images.
TEST(ClassNames, EverySourceReadsThemAlike) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "val");
  write_bytes(folder / "val/a.jpg", encode_jpeg(photo_image(9, 9, 1)));
  write_bytes(folder / "val.txt", "a.jpg 1\n");
  write_bytes(folder / "classes.txt", std::string(kMark) + "cat\r\ndog\r\n");
  EXPECT_THAT(read_shard_classes(folder.path()), ElementsAre("cat", "dog"));
  EXPECT_THAT(open_source("imagefolder", folder.path(), Split::val)->class_names(), ElementsAre("cat", "dog"));
  write_bytes(folder / "classes.txt", "cat\n\ndog\n");
  EXPECT_THROW(read_shard_classes(folder.path()), UsageError);
  EXPECT_THROW(open_source("imagefolder", folder.path(), Split::val), UsageError) << "1 would be dog";
}

}  // namespace
}  // namespace residua::test
