#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

namespace residua {

/// A file that grows at its end. Each append() reaches the operating system before it returns, so a killed process loses
/// nothing. Throws Error that names the path and the system's reason. A failure loses nothing either: the next append() writes
/// what is left first, over the torn end.
class AppendFile {
 public:
  /// Opens `path`, and creates the file if there is none.
  explicit AppendFile(std::string path);
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&&) = delete;
  /// Warns if the file cannot be closed.
  ~AppendFile();

  void append(std::string_view bytes);
  /// Writes what earlier failures left.
  void flush() { append({}); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int descriptor_;
  off_t size_ = 0;       // bytes that have been written
  std::string pending_;  // bytes that follow
};

}  // namespace residua
