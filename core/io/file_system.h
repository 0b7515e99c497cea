#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

namespace residua {

/// What Residua asks of the system for files. Each operation is the system call of its name: it returns a negative number and
/// sets errno where that fails. A test derives from it to make any operation fail, or to stop as a killed process does.
class FileSystem {
 public:
  FileSystem() = default;
  virtual ~FileSystem() = default;
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;

  /// O_CLOEXEC is added to `flags`. Returns a descriptor; a new file gets the mode 0666 less the process's umask.
  virtual int open(const std::string& path, int flags);
  /// Bytes of a regular file; fails with EINVAL on anything else.
  virtual off_t size(int descriptor);
  virtual ssize_t read(int descriptor, void* data, size_t bytes, off_t offset);
  virtual ssize_t write(int descriptor, const void* data, size_t bytes);
  virtual ssize_t write_at(int descriptor, const void* data, size_t bytes, off_t offset);
  virtual int sync(int descriptor);
  /// Takes the lock of an open file or folder; without `wait` fails with EWOULDBLOCK where another open one has it.
  virtual int lock(int descriptor, bool wait);
  virtual int close(int descriptor);
  virtual int rename(const std::string& from, const std::string& to);
  /// Of a file.
  virtual int remove(const std::string& path);
  /// Makes a folder and those above it; a folder that exists already is no failure.
  virtual int make_folders(const std::string& path);
};

/// The file system in force: the system's own unless a ScopedFileSystem lives.
FileSystem& file_system();

/// Puts another file system in force for the whole process, for as long as it lives.
class ScopedFileSystem {
 public:
  explicit ScopedFileSystem(FileSystem& wanted);
  ~ScopedFileSystem();
  ScopedFileSystem(const ScopedFileSystem&) = delete;
  ScopedFileSystem& operator=(const ScopedFileSystem&) = delete;

 private:
  FileSystem* previous_;
};

/// Writes all bytes, in as many calls as that takes. Returns 0, or the errno of the call that failed.
int write_all(int descriptor, const void* data, size_t bytes);
int write_all_at(int descriptor, const void* data, size_t bytes, off_t offset);

/// Makes a rename in `folder` durable. Fails with Error.
void sync_folder(const std::string& folder);

/// Throws Error: "cannot <doing> <path>: <reason> (errno <error>)".
[[noreturn]] void fail_io(const char* doing, const std::string& path, int error);

}  // namespace residua
