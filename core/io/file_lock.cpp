#include "core/io/file_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "core/io/file_system.h"

namespace residua {
namespace {

constexpr size_t kHolderBytes = 128;

std::string host_name() {
  std::array<char, 65> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "an unknown host";
}

}  // namespace

FileLock::FileLock(std::string path, int flags)
    : path_(std::move(path)), descriptor_(file_system().open(path_, flags)), error_(descriptor_ < 0 ? errno : 0) {}

FileLock::FileLock(FileLock&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), error_(other.error_) {}

FileLock::~FileLock() {
  if (descriptor_ >= 0) {
    file_system().close(descriptor_);
  }
}

void FileLock::take(bool wait) {
  do {
    error_ = file_system().lock(descriptor_, wait) == 0 ? 0 : errno;
  } while (error_ == EINTR);
}

bool FileLock::busy() const { return error_ == EWOULDBLOCK; }

FileLock FileLock::wait_for(const std::string& path) {
  FileLock lock(path, O_RDWR | O_CREAT);
  if (!lock.held()) {
    fail_io("open", path, lock.error_);
  }
  lock.take(/*wait=*/true);
  if (!lock.held()) {
    fail_io("lock", path, lock.error_);
  }
  return lock;
}

FileLock FileLock::make(const std::string& prefix) {
  constexpr int kAttempts = 1000;
  for (int number = 0;; ++number) {
    FileLock lock(fmt::format("{}{}-{}", prefix, ::getpid(), number), O_RDWR | O_CREAT | O_EXCL);
    if (!lock.held() && (lock.error_ != EEXIST || number == kAttempts)) {
      fail_io("create", lock.path_, lock.error_);
    }
    if (lock.held()) {
      lock.take(/*wait=*/true);  // another process may be testing the lock for a moment
      if (!lock.held()) {
        file_system().remove(lock.path_);
        fail_io("lock", lock.path_, lock.error_);
      }
      return lock;
    }
  }
}

FileLock FileLock::attempt(const std::string& path) {
  FileLock lock(path, O_RDONLY);
  if (lock.held()) {
    lock.take(/*wait=*/false);
  }
  return lock;
}

FileLock FileLock::claim(const std::string& path) {
  FileLock lock(path, O_RDWR | O_CREAT);
  if (!lock.held()) {
    return lock;
  }
  lock.take(/*wait=*/false);
  if (lock.held()) {
    std::string text = fmt::format("{}, process {}\n", host_name(), ::getpid());
    text.resize(std::max(text.size(), kHolderBytes), '\n');       // over a longer one
    write_all_at(lock.descriptor_, text.data(), text.size(), 0);  // a lock whose holder is unknown is still one
  }
  return lock;
}

std::string FileLock::holder() const {
  std::string text(kHolderBytes, '\0');
  const ssize_t bytes = file_system().read(descriptor_, text.data(), text.size(), 0);
  text.resize(bytes > 0 ? static_cast<size_t>(bytes) : 0);
  return text.substr(0, text.find('\n'));
}

}  // namespace residua
