#include "core/io/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>

#include "core/base/error.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {
namespace {

int64_t entries(const std::string& folder) {
  return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
}

/// While it lives, no file of this process grows beyond `bytes`: write() fails as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : old_handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &old_limit_);
    const rlimit limit{bytes, old_limit_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_limit_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_limit_{};
  void (*old_handler_)(int);
};

TEST(AtomicFile, AppearsWholeAtCommitAndNotBefore) {
  const TemporaryFolder folder;
  const std::string path = folder / "weights";
  AtomicFile file(path);
  file.write("one ");
  EXPECT_FALSE(std::filesystem::exists(path));
  file.write("two");
  file.commit();
  EXPECT_EQ(read_bytes(path), "one two");
  EXPECT_EQ(entries(folder.path()), 1);
  EXPECT_THROW(file.write("three"), Error);
  EXPECT_THROW(file.commit(), Error);
}

TEST(AtomicFile, ReplacesAnOldFile) {
  const TemporaryFolder folder;
  const std::string path = folder / "weights";
  atomic_write(path, "a long old content");
  atomic_write(path, "new");
  EXPECT_EQ(read_bytes(path), "new");
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(AtomicFile, WithoutCommitTheOldFileStays) {
  const TemporaryFolder folder;
  const std::string path = folder / "weights";
  atomic_write(path, "old");
  {
    AtomicFile file(path);
    file.write("half of the n");
  }
  EXPECT_EQ(read_bytes(path), "old");
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(AtomicFile, AFullDiskLosesNothingAndIsNamed) {
  const TemporaryFolder folder;
  const std::string path = folder / "weights";
  atomic_write(path, "old");
  std::string message;
  {
    const FileSizeLimit limit(1000);
    try {
      atomic_write(path, std::string(5000, 'x'));
    } catch (const Error& error) {
      message = error.what();
    }
  }
  EXPECT_THAT(message, ::testing::AllOf(::testing::HasSubstr(path), ::testing::HasSubstr("File too large"),
                                        ::testing::HasSubstr("errno")));
  EXPECT_EQ(read_bytes(path), "old");
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(AtomicFile, ARenameThatFailsLeavesNoTemporaryFile) {
  const TemporaryFolder folder;
  const std::string path = folder / "taken";
  std::filesystem::create_directories(path + "/by_a_folder");
  EXPECT_THROW(atomic_write(path, "x"), Error);
  EXPECT_EQ(entries(folder.path()), 1);
}

TEST(AtomicFile, AMissingFolderIsNamed) {
  const TemporaryFolder folder;
  const std::string path = folder / "missing/weights";
  try {
    atomic_write(path, "x");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::AllOf(::testing::HasSubstr(path), ::testing::HasSubstr("No such file")));
  }
}

TEST(AtomicFile, TakesAPathWithoutAFolderAndKeepsTheUsualMode) {
  const TemporaryFolder folder;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  atomic_write("plain", "x");
  std::filesystem::current_path(before);
  struct stat status {};
  ASSERT_EQ(::stat((folder / "plain").c_str(), &status), 0);
  const mode_t mask = ::umask(0);
  ::umask(mask);
  EXPECT_EQ(status.st_mode & 0777U, 0666U & ~mask);
}

}  // namespace
}  // namespace residua::test
