#pragma once

#include <string>

namespace residua {

/// An exclusive lock on a file or folder. It is released when this object is destroyed or the process ends in any way.
class FileLock {
 public:
  /// Waits for the lock on a file, and creates the file if there is none. Throws Error that names the path and the system's
  /// reason.
  static FileLock wait_for(const std::string& path);
  /// Creates a new file "PREFIX<process>-<number>" that can be written to, and locks it. Throws Error that names the path and
  /// the system's reason.
  static FileLock make(const std::string& prefix);
  /// Tries to lock an existing file or folder without waiting. Check held() afterwards. If another holder has the lock, busy()
  /// is true. If neither is true, the path cannot be opened or its file system has no locks.
  static FileLock attempt(const std::string& path);

  /// Creates the file if there is none, tries to lock it without waiting, and writes who holds it into it: "HOST, process 7".
  /// Check held() and busy() as after attempt().
  static FileLock claim(const std::string& path);

  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

  bool held() const { return error_ == 0; }
  bool busy() const;
  const std::string& path() const { return path_; }
  /// Who claimed the file last, as it says itself; empty if it does not say.
  std::string holder() const;
  /// The open file.
  int descriptor() const { return descriptor_; }

 private:
  FileLock(std::string path, int flags);
  void take(bool wait);

  std::string path_;
  int descriptor_;
  int error_;  // errno of the failed call, or 0
};

}  // namespace residua
