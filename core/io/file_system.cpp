#include "core/io/file_system.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "core/base/error.h"

namespace residua {
namespace {

FileSystem& real_file_system() {
  static FileSystem instance;
  return instance;
}

/// Null means the operating system's.
std::atomic<FileSystem*> in_force = nullptr;

/// Calls `write(next, bytes_left, bytes_done)` until all is written. Returns 0, or the errno of the call that failed.
template <class Write>
int write_whole(const void* data, size_t bytes, const Write& write) {
  size_t done = 0;
  while (done < bytes) {
    const ssize_t written = write(static_cast<const char*>(data) + done, bytes - done, static_cast<off_t>(done));
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      return written < 0 ? errno : EIO;
    }
    done += static_cast<size_t>(written);
  }
  return 0;
}

}  // namespace

int FileSystem::open(const std::string& path, int flags) { return ::open(path.c_str(), flags | O_CLOEXEC, 0666); }

off_t FileSystem::size(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) {
    return -1;
  }
  if (!S_ISREG(status.st_mode)) {
    errno = EINVAL;
    return -1;
  }
  return status.st_size;
}

ssize_t FileSystem::read(int descriptor, void* data, size_t bytes, off_t offset) {
  return ::pread(descriptor, data, bytes, offset);
}

ssize_t FileSystem::write(int descriptor, const void* data, size_t bytes) { return ::write(descriptor, data, bytes); }

ssize_t FileSystem::write_at(int descriptor, const void* data, size_t bytes, off_t offset) {
  return ::pwrite(descriptor, data, bytes, offset);
}

int FileSystem::sync(int descriptor) { return ::fsync(descriptor); }

int FileSystem::lock(int descriptor, bool wait) { return ::flock(descriptor, LOCK_EX | (wait ? 0 : LOCK_NB)); }

int FileSystem::close(int descriptor) { return ::close(descriptor); }

int FileSystem::rename(const std::string& from, const std::string& to) { return std::rename(from.c_str(), to.c_str()); }

int FileSystem::remove(const std::string& path) { return ::unlink(path.c_str()); }

int FileSystem::make_folders(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  errno = error.value();
  return error ? -1 : 0;
}

FileSystem& file_system() {
  FileSystem* const other = in_force.load();
  return other != nullptr ? *other : real_file_system();
}

ScopedFileSystem::ScopedFileSystem(FileSystem& wanted) : previous_(in_force.exchange(&wanted)) {}

ScopedFileSystem::~ScopedFileSystem() { in_force = previous_; }

int write_all(int descriptor, const void* data, size_t bytes) {
  return write_whole(
      data, bytes, [descriptor](const char* next, size_t left, off_t) { return file_system().write(descriptor, next, left); });
}

int write_all_at(int descriptor, const void* data, size_t bytes, off_t offset) {
  return write_whole(data, bytes, [descriptor, offset](const char* next, size_t left, off_t done) {
    return file_system().write_at(descriptor, next, left, offset + done);
  });
}

void sync_folder(const std::string& folder) {
  const int descriptor = file_system().open(folder, O_RDONLY | O_DIRECTORY);
  if (descriptor < 0) {
    fail_io("open the folder", folder, errno);
  }
  const int error = file_system().sync(descriptor) == 0 ? 0 : errno;
  file_system().close(descriptor);
  if (error != 0 && error != EINVAL) {  // EINVAL: this file system has no fsync for folders and needs none
    fail_io("sync the folder", folder, error);
  }
}

void fail_io(const char* doing, const std::string& path, int error) {
  fail("cannot {} {}: {} (errno {})", doing, path, std::system_category().message(error), error);
}

}  // namespace residua
