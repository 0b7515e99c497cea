#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

namespace residua {

/// The file operations that Residua needs. Each is the system call of its name: on failure it returns a negative number and
/// sets errno. Tests derive from this class to make an operation fail, or to stop as a killed process does.
class FileSystem {
 public:
  FileSystem() = default;
  virtual ~FileSystem() = default;
  FileSystem(const FileSystem&) = delete;
  FileSystem& operator=(const FileSystem&) = delete;

  /// Adds O_CLOEXEC to `flags`. Returns a descriptor. A new file gets mode 0666 minus the umask.
  virtual int open(const std::string& path, int flags);
  /// The size of a regular file in bytes. Fails with EINVAL on anything else.
  virtual off_t size(int descriptor);
  virtual ssize_t read(int descriptor, void* data, size_t bytes, off_t offset);
  virtual ssize_t write(int descriptor, const void* data, size_t bytes);
  virtual ssize_t write_at(int descriptor, const void* data, size_t bytes, off_t offset);
  virtual int sync(int descriptor);
  /// Locks an open file or folder. Without `wait`, fails with EWOULDBLOCK if another open descriptor holds the lock.
  virtual int lock(int descriptor, bool wait);
  virtual int close(int descriptor);
  virtual int rename(const std::string& from, const std::string& to);
  /// Removes a file.
  virtual int remove(const std::string& path);
  /// Creates a folder and its parents. Succeeds if the folder already exists.
  virtual int make_folders(const std::string& path);
};

/// The active file system: the operating system's, unless a ScopedFileSystem exists.
FileSystem& file_system();

/// Makes another file system active in the whole process while this object exists.
class ScopedFileSystem {
 public:
  explicit ScopedFileSystem(FileSystem& wanted);
  ~ScopedFileSystem();
  ScopedFileSystem(const ScopedFileSystem&) = delete;
  ScopedFileSystem& operator=(const ScopedFileSystem&) = delete;

 private:
  FileSystem* previous_;
};

/// Writes all bytes, in as many calls as needed. Returns 0, or the errno of the call that failed.
int write_all(int descriptor, const void* data, size_t bytes);
int write_all_at(int descriptor, const void* data, size_t bytes, off_t offset);

/// Makes a rename in `folder` durable. Throws Error.
void sync_folder(const std::string& folder);

/// Throws Error: "cannot DOING PATH: REASON (errno ERROR)".
[[noreturn]] void fail_io(const char* doing, const std::string& path, int error);

}  // namespace residua
