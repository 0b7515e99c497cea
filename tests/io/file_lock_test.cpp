#include "core/io/file_lock.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <future>
#include <optional>

#include "core/io/file_system.h"
#include "tests/support/compare.h"
#include "tests/support/temporary_folder.h"
#include "tests/support/test_file_system.h"

namespace residua::test {
namespace {

TEST(FileLock, HasOneHolderAtATime) {
  const TemporaryFolder folder;
  const std::string path = folder / "lock";
  std::optional<FileLock> first(FileLock::wait_for(path));
  EXPECT_TRUE(first->held());
  {
    const FileLock second = FileLock::attempt(path);
    EXPECT_FALSE(second.held());
    EXPECT_TRUE(second.busy());
  }
  first.reset();
  EXPECT_TRUE(FileLock::attempt(path).held());
}

TEST(FileLock, IsAlsoAFolders) {
  const TemporaryFolder folder;
  const FileLock first = FileLock::attempt(folder.path());
  EXPECT_TRUE(first.held());
  EXPECT_TRUE(FileLock::attempt(folder.path()).busy());
}

/// Says when somebody has found a lock taken.
class Announcing final : public FileSystem {
 public:
  int lock(int descriptor, bool wait) override {
    const int result = FileSystem::lock(descriptor, /*wait=*/false);
    const int error = errno;
    asked.set_value();
    errno = error;
    return result != 0 && wait ? FileSystem::lock(descriptor, wait) : result;
  }
  std::promise<void> asked;
};

TEST(FileLock, WaitsForTheHolder) {
  const TemporaryFolder folder;
  const std::string path = folder / "lock";
  std::optional<FileLock> first(FileLock::wait_for(path));
  Announcing files;
  const ScopedFileSystem in_force(files);
  std::future<bool> held = std::async(std::launch::async, [&] { return FileLock::wait_for(path).held(); });
  EXPECT_EQ(files.asked.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  first.reset();
  EXPECT_TRUE(held.get());
}

TEST(FileLock, MakesAFileThatNobodyHad) {
  const TemporaryFolder folder;
  const FileLock first = FileLock::make(folder / "trying-");
  const FileLock second = FileLock::make(folder / "trying-");
  EXPECT_NE(first.path(), second.path());
  for (const FileLock* lock : {&first, &second}) {
    EXPECT_TRUE(lock->path().starts_with(folder / "trying-"));
    EXPECT_TRUE(std::filesystem::exists(lock->path()));
    EXPECT_TRUE(FileLock::attempt(lock->path()).busy());
    EXPECT_EQ(write_all_at(lock->descriptor(), "abc", 3, 0), 0);
    EXPECT_EQ(write_all_at(lock->descriptor(), "x", 1, 1), 0);
    EXPECT_EQ(read_bytes(lock->path()), "axc");
  }
}

TEST(FileLock, ThatCannotBeTakenIsNamed) {
  const TemporaryFolder folder;
  const std::string missing = folder / "missing/lock";
  EXPECT_TRUE(fails_with([&] { FileLock::wait_for(missing); }, {"cannot open", missing, "No such file"}));
  EXPECT_TRUE(fails_with([&] { FileLock::make(missing); }, {"cannot create", missing, "No such file"}));
  const FileLock none = FileLock::attempt(missing);
  EXPECT_FALSE(none.held());
  EXPECT_FALSE(none.busy());
}

TEST(FileLock, IsNotBusyWhereThereAreNoLocks) {
  using Fault = TestFileSystem::Fault;
  const TemporaryFolder folder;
  const std::string path = folder / "lock";
  {
    TestFileSystem files(Fault::fail, 1, ENOLCK);
    const ScopedFileSystem in_force(files);
    EXPECT_TRUE(fails_with([&] { FileLock::wait_for(path); }, {"cannot lock", path, "No locks available"}));
    EXPECT_EQ(files.operations().at(2), "close");
  }
  {
    TestFileSystem files(Fault::fail, 1, ENOLCK);
    const ScopedFileSystem in_force(files);
    const FileLock lock = FileLock::attempt(path);
    EXPECT_FALSE(lock.held());
    EXPECT_FALSE(lock.busy());
  }
  {
    TestFileSystem files(Fault::fail, 1, ENOLCK);
    const ScopedFileSystem in_force(files);
    EXPECT_TRUE(fails_with([&] { FileLock::make(folder / "trying-"); }, {"cannot lock", "trying-"}));
  }
  EXPECT_TRUE(std::filesystem::exists(path));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), std::filesystem::directory_iterator()), 1)
      << "what could not be locked is removed";
}

TEST(FileLock, GoesOnAfterAnInterruption) {
  const TemporaryFolder folder;
  TestFileSystem files(TestFileSystem::Fault::fail, 1, EINTR);
  const ScopedFileSystem in_force(files);
  EXPECT_TRUE(FileLock::wait_for(folder / "lock").held());
}

}  // namespace
}  // namespace residua::test
