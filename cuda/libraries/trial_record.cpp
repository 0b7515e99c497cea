#include "cuda/libraries/trial_record.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "core/base/error.h"
#include "core/io/file_system.h"

namespace residua::cuda {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail_io(const char* doing, const std::string& path, int error) {
  fail("cannot {} {}: {} (errno {})", doing, path, std::system_category().message(error), error);
}

/// False where another open file holds the lock and `operation` does not wait.
bool lock(int descriptor, int operation, const std::string& path) {
  while (::flock(descriptor, operation) != 0) {
    if (errno == EWOULDBLOCK) {
      return false;
    }
    if (errno != EINTR) {
      fail_io("lock", path, errno);
    }
  }
  return true;
}

/// The first line of an open file, without its end; empty where it has none.
std::string first_line(int descriptor) {
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t count = 0; (count = ::read(descriptor, buffer.data(), buffer.size())) > 0;) {
    text.append(buffer.data(), static_cast<size_t>(count));
  }
  const size_t end = text.find('\n');
  return end == std::string::npos ? "" : text.substr(0, end);
}

}  // namespace

FileLock::FileLock(const std::string& path) : descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
  if (descriptor_ < 0) {
    fail_io("open", path, errno);
  }
  try {
    lock(descriptor_, LOCK_EX, path);
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

FileLock::~FileLock() { ::close(descriptor_); }

TrialRecord::TrialRecord(const std::string& prefix) : path_(prefix + "XXXXXX") {
  descriptor_ = ::mkostemp(path_.data(), O_CLOEXEC);
  if (descriptor_ < 0) {
    fail_io("create", path_, errno);
  }
  try {
    if (!lock(descriptor_, LOCK_EX | LOCK_NB, path_)) {
      fail("cannot lock {}: another process holds it", path_);
    }
    sync_folder(fs::path(path_).parent_path().string());
  } catch (...) {
    ::unlink(path_.c_str());
    ::close(descriptor_);
    throw;
  }
}

TrialRecord::~TrialRecord() {
  ::unlink(path_.c_str());
  ::close(descriptor_);
}

void TrialRecord::begin(const std::string& line, Durability durability) {
  lines_.push_back(line);
  write(line);
  if (durability == Durability::machine && ::fdatasync(descriptor_) != 0) {
    fail_io("sync", path_, errno);
  }
}

void TrialRecord::end() {
  lines_.pop_back();
  write(lines_.empty() ? "" : lines_.back());
}

void TrialRecord::write(const std::string& line) {
  // What an earlier, longer line leaves behind the end of this one is not read.
  const std::string text = line + "\n";
  ssize_t written = 0;
  do {
    written = ::pwrite(descriptor_, text.data(), text.size(), 0);
  } while (written < 0 && errno == EINTR);
  if (written != static_cast<ssize_t>(text.size())) {
    fail_io("write", path_, written < 0 ? errno : ENOSPC);
  }
}

std::vector<UnfinishedTrial> unfinished_trials(const std::string& prefix) {
  std::vector<UnfinishedTrial> found;
  std::error_code none;
  for (const fs::directory_entry& entry : fs::directory_iterator(fs::path(prefix).parent_path(), none)) {
    const std::string file = entry.path().string();
    const int descriptor = file.starts_with(prefix) ? ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (descriptor < 0) {
      continue;
    }
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) {
      found.push_back({file, first_line(descriptor)});
    }
    ::close(descriptor);
  }
  return found;
}

}  // namespace residua::cuda
