#pragma once

#include <string>

namespace residua {

/// The lock of a file or folder, which one holder has at a time among all that ask for it. It ends with this object, and with
/// the process, however that ends.
class FileLock {
 public:
  /// Waits for the lock of a file, which is made where there is none. Throws Error that names the path and the system's reason.
  static FileLock wait_for(const std::string& path);
  /// Makes a file that did not exist, "<prefix><process>-<number>", and takes its lock. It can be written to. Throws Error that
  /// names the path and the system's reason.
  static FileLock make(const std::string& prefix);
  /// Takes the lock of a file or folder that exists, without waiting. Where that fails neither held() nor, unless another holds
  /// it, busy() is true: the path cannot be opened, or its file system has no locks.
  static FileLock attempt(const std::string& path);

  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

  bool held() const { return error_ == 0; }
  bool busy() const;
  const std::string& path() const { return path_; }
  /// Of the open file.
  int descriptor() const { return descriptor_; }

 private:
  FileLock(std::string path, int flags);
  void take(bool wait);

  std::string path_;
  int descriptor_;
  int error_;  // errno of what failed, or 0
};

}  // namespace residua
