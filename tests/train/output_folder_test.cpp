#include "core/train/output_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>

#include "core/tensor/error.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"

namespace residua {
namespace {

using testing::TemporaryFolder;
using testing::write_bytes;

TEST(OutputFolder, IsMadeAndBelongsToOneRun) {
  const TemporaryFolder parent;
  const std::string path = parent / "runs/mine";
  std::optional<OutputFolder> first;
  first.emplace(path, Existing::refuse);
  EXPECT_TRUE(std::filesystem::is_directory(path));
  EXPECT_TRUE(test::fails_with([&] { OutputFolder(path, Existing::go_on); }, {"another run is writing to", path}));
  first.reset();
  EXPECT_NO_THROW(OutputFolder(path, Existing::go_on));
}

TEST(OutputFolder, KeepsWhatARunHasLeft) {
  const TemporaryFolder folder;
  for (const char* file : {"checkpoint.safetensors", "best.safetensors", "last.safetensors"}) {
    write_bytes(folder / file, "precious");
    EXPECT_TRUE(test::fails_with([&] { OutputFolder(folder.path(), Existing::refuse); },
                                 {"holds a run already", file, "--resume auto", "--output"}));
    EXPECT_NO_THROW(OutputFolder(folder.path(), Existing::go_on));
    EXPECT_EQ(testing::read_bytes(folder / file), "precious");
    std::filesystem::remove(folder / file);
  }
  write_bytes(folder / "config.toml", "of a run that saved nothing");
  EXPECT_NO_THROW(OutputFolder(folder.path(), Existing::refuse));
}

TEST(OutputFolder, IsClearedOfHalfWrittenFiles) {
  const TemporaryFolder folder;
  write_bytes(folder / ".checkpoint.safetensors.123-0.tmp", "half");
  write_bytes(folder / "notes.tmp", "the user's");
  write_bytes(folder / ".hidden", "the user's");
  const OutputFolder output(folder.path(), Existing::go_on);
  EXPECT_FALSE(std::filesystem::exists(folder / ".checkpoint.safetensors.123-0.tmp"));
  EXPECT_TRUE(std::filesystem::exists(folder / "notes.tmp"));
  EXPECT_TRUE(std::filesystem::exists(folder / ".hidden"));
}

TEST(OutputFolder, RefusesWhatIsNone) {
  const TemporaryFolder folder;
  write_bytes(folder / "file", "");
  EXPECT_TRUE(test::fails_with([&] { OutputFolder(folder / "file", Existing::go_on); }, {"cannot be made", "--output"}));
  EXPECT_THROW(OutputFolder(folder / "file/below", Existing::go_on), UsageError);
}

}  // namespace
}  // namespace residua
