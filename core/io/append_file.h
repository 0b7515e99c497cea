#pragma once

#include <string>
#include <string_view>

namespace residua {

/// A file that grows at its end; each append() is handed to the system before it returns, so that a killed process loses
/// nothing. Failures throw Error that names the path and the system's reason.
class AppendFile {
 public:
  /// Opens `path`, and creates it where there is none.
  explicit AppendFile(std::string path);
  AppendFile(AppendFile&& other) noexcept;
  AppendFile& operator=(AppendFile&&) = delete;
  /// Warns where the file cannot be closed.
  ~AppendFile();

  void append(std::string_view bytes);
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  int descriptor_;
};

}  // namespace residua
