#include "core/run/run_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>

#include "core/base/error.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

using test::TemporaryFolder;
using test::write_bytes;

TEST(RunFolder, IsMadeAndBelongsToOneRun) {
  const TemporaryFolder parent;
  const std::string path = parent / "runs/mine";
  std::optional<RunFolder> first;
  first.emplace(path, Existing::refuse);
  EXPECT_TRUE(std::filesystem::is_directory(path));
  EXPECT_TRUE(test::fails_with([&] { RunFolder(path, Existing::go_on); }, {"another run is writing to", path}));
  first.reset();
  EXPECT_NO_THROW(RunFolder(path, Existing::go_on));
}

TEST(RunFolder, KeepsWhatARunHasLeft) {
  const TemporaryFolder folder;
  for (const char* file : {"checkpoint.safetensors", "best.safetensors", "last.safetensors"}) {
    write_bytes(folder / file, "precious");
    EXPECT_TRUE(test::fails_with([&] { RunFolder(folder.path(), Existing::refuse); },
                                 {"holds a run already", file, "--resume auto", "--output"}));
    EXPECT_NO_THROW(RunFolder(folder.path(), Existing::go_on));
    EXPECT_EQ(test::read_bytes(folder / file), "precious");
    std::filesystem::remove(folder / file);
  }
  write_bytes(folder / "config.toml", "of a run that saved nothing");
  EXPECT_NO_THROW(RunFolder(folder.path(), Existing::refuse));
}

TEST(RunFolder, IsClearedOfHalfWrittenFiles) {
  const TemporaryFolder folder;
  write_bytes(folder / ".checkpoint.safetensors.123-0.tmp", "half");
  write_bytes(folder / "notes.tmp", "the user's");
  write_bytes(folder / ".hidden", "the user's");
  const RunFolder output(folder.path(), Existing::go_on);
  EXPECT_FALSE(std::filesystem::exists(folder / ".checkpoint.safetensors.123-0.tmp"));
  EXPECT_TRUE(std::filesystem::exists(folder / "notes.tmp"));
  EXPECT_TRUE(std::filesystem::exists(folder / ".hidden"));
}

TEST(RunFolder, RefusesWhatIsNone) {
  const TemporaryFolder folder;
  write_bytes(folder / "file", "");
  EXPECT_TRUE(test::fails_with([&] { RunFolder(folder / "file", Existing::go_on); }, {"cannot be made", "--output"}));
  EXPECT_THROW(RunFolder(folder / "file/below", Existing::go_on), UsageError);
}

}  // namespace
}  // namespace residua::test
