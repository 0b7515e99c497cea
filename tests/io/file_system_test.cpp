#include "core/io/file_system.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "core/io/append_file.h"
#include "core/io/atomic_file.h"
#include "core/io/read_file.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_file_system.h"

namespace residua::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Fault = TestFileSystem::Fault;

int64_t entries(const std::string& folder) {
  return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
}

TEST(FileSystem, TheSystemsOwnIsBackWhenAnotherHasGone) {
  FileSystem& own = file_system();
  {
    TestFileSystem outer;
    const ScopedFileSystem in_outer(outer);
    {
      TestFileSystem inner;
      const ScopedFileSystem in_inner(inner);
      EXPECT_EQ(&file_system(), &inner);
    }
    EXPECT_EQ(&file_system(), &outer);
  }
  EXPECT_EQ(&file_system(), &own);
}

TEST(FileSystem, OnlyARegularFileHasASize) {
  const TemporaryFolder folder;
  write_bytes(folder / "five", "12345");
  const int file = file_system().open(folder / "five", O_RDONLY);
  const int itself = file_system().open(folder.path(), O_RDONLY);
  ASSERT_GE(file, 0);
  ASSERT_GE(itself, 0);
  EXPECT_EQ(file_system().size(file), 5);
  EXPECT_EQ(file_system().size(itself), -1);
  EXPECT_EQ(errno, EINVAL);
  file_system().close(file);
  file_system().close(itself);
}

TEST(FileSystem, AnAtomicFileIsDurableBeforeItHasItsNameAndSoIsTheName) {
  const TemporaryFolder folder;
  TestFileSystem files;
  const ScopedFileSystem in_force(files);
  atomic_write(folder / "weights", "12345");
  EXPECT_THAT(files.operations(),
              ElementsAre("open temporary", "write 5", "sync", "close", "rename temporary weights",
                          "open " + std::filesystem::path(folder.path()).filename().string(), "sync", "close"));
}

TEST(FileSystem, AnAtomicFileThatFailsAnywhereIsTheOldOneOrTheNewOne) {
  constexpr int64_t kOperations = 8;
  constexpr int64_t kRename = 4;
  for (const Fault fault : {Fault::fail, Fault::stop}) {
    for (int64_t at = 0; at < kOperations; ++at) {
      SCOPED_TRACE(testing::Message() << (fault == Fault::fail ? "fail " : "stop ") << at);
      const TemporaryFolder folder;
      write_bytes(folder / "weights", "old");
      std::string message;
      {
        TestFileSystem files(fault, at, ENOSPC);
        const ScopedFileSystem in_force(files);
        try {
          atomic_write(folder / "weights", "new");
        } catch (const Error& error) {
          message = error.what();
        }
      }
      EXPECT_EQ(read_bytes(folder / "weights"), at <= kRename ? "old" : "new");
      if (at < kOperations - 1) {  // what comes last, to close the folder, loses nothing
        EXPECT_THAT(message, testing::HasSubstr(folder.path()));
        EXPECT_THAT(message, testing::HasSubstr("No space left on device"));
      }
      if (fault == Fault::fail) {
        EXPECT_EQ(entries(folder.path()), 1);
      } else {
        remove_temporary_files(folder.path());
        EXPECT_EQ(entries(folder.path()), 1);
      }
    }
  }
}

TEST(FileSystem, AFolderWithoutSyncNeedsNone) {
  const TemporaryFolder folder;
  TestFileSystem files(Fault::fail, 6, EINVAL);
  const ScopedFileSystem in_force(files);
  EXPECT_NO_THROW(atomic_write(folder / "weights", "new"));
  EXPECT_EQ(files.operations().at(6), "sync");
}

TEST(FileSystem, ShortAndInterruptedWritesAreGoneOnWith) {
  const TemporaryFolder folder;
  TestFileSystem files(Fault::fail, 2, EINTR);
  files.most_bytes = 3;
  const ScopedFileSystem in_force(files);
  atomic_write(folder / "weights", "0123456789");
  EXPECT_EQ(read_bytes(folder / "weights"), "0123456789");
  AppendFile log(folder / "log");
  log.append("one ");
  log.append("and two");
  EXPECT_EQ(read_bytes(folder / "log"), "one and two");
}

TEST(FileSystem, AppendedBytesAreHandedOnAtOnceAndAFailureIsNamedAndMadeGood) {
  const TemporaryFolder folder;
  const std::string path = folder / "log";
  {
    AppendFile log(path);
    log.append("first\n");
    EXPECT_EQ(read_bytes(path), "first\n");
    TestFileSystem files(Fault::fail, 0, ENOSPC);
    const ScopedFileSystem in_force(files);
    EXPECT_TRUE(fails_with([&] { log.append("late\n"); }, {path, "No space left"}));
    log.append("second\n");
  }
  EXPECT_EQ(read_bytes(path), "first\nlate\nsecond\n");
  TestFileSystem files(Fault::fail, 0, EACCES);
  const ScopedFileSystem in_force(files);
  EXPECT_TRUE(fails_with([&] { AppendFile{path}; }, {path, "Permission denied"}));
}

TEST(FileSystem, AReadThatFailsAnywhereIsNamed) {
  const TemporaryFolder folder;
  const std::string path = folder / "image";
  write_bytes(path, "0123456789");
  std::vector<uint8_t> bytes;
  TestFileSystem files;
  files.most_bytes = 4;
  {
    const ScopedFileSystem in_force(files);
    read_file(path, bytes);
  }
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), "0123456789");
  EXPECT_THAT(files.operations(), ElementsAre("open image", "size", "read", "read", "read", "close"));
  for (int64_t at = 0; at < 5; ++at) {
    TestFileSystem failing(Fault::fail, at, EIO);
    failing.most_bytes = 4;
    const ScopedFileSystem in_force(failing);
    EXPECT_TRUE(fails_with([&] { read_file(path, bytes); }, {path, "Input/output error"})) << at;
  }
  TestFileSystem interrupted(Fault::fail, 3, EINTR);
  interrupted.most_bytes = 4;
  const ScopedFileSystem in_force(interrupted);
  EXPECT_NO_THROW(read_file(path, bytes));
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), "0123456789");
}

/// So that a test can make any write of the library fail.
TEST(FileSystem, NothingElseInTheLibraryOpensAFileForWriting) {
  const std::vector<std::string> opens = {
      "ofstream", "std::fstream",       "fopen",      "O_WRONLY",           "O_RDWR",  "O_CREAT", "mkstemp",
      "mkostemp", "create_directories", "fs::rename", "filesystem::rename", "::flock", "::unlink"};
  std::vector<std::string> found;
  for (const char* room : {"core", "models", "cuda"}) {
    const std::filesystem::path root = std::filesystem::path(RESIDUA_SOURCE_DIR) / room;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
      const std::string path = entry.path().lexically_relative(RESIDUA_SOURCE_DIR).string();
      if (!entry.is_regular_file() || path.starts_with("core/io/")) {
        continue;
      }
      const std::string text = read_bytes(entry.path());
      if (std::ranges::any_of(opens, [&](const std::string& word) { return text.find(word) != std::string::npos; })) {
        found.push_back(path);
      }
    }
  }
  EXPECT_THAT(found, IsEmpty());
}

}  // namespace
}  // namespace residua::test
