#pragma once

#include <string>
#include <string_view>

namespace residua {

/// A file that grows at its end. Each append() reaches the operating system before it returns, so a killed process loses
/// nothing. Throws Error that names the path and the system's reason.
class AppendFile {
 public:
  /// Opens `path`, and creates the file if there is none.
  explicit AppendFile(std::string path);
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&&) = delete;
  /// Warns if the file cannot be closed.
  ~AppendFile();

  void append(std::string_view bytes);
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int descriptor_;
};

}  // namespace residua
