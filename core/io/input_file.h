#pragma once

#include <cstdint>
#include <string>

namespace residua {

/// A regular file that can be read at any offset. Throws Error that names the path and the reason.
class InputFile {
 public:
  explicit InputFile(std::string path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& path() const { return path_; }
  /// The size in bytes when the file was opened.
  uint64_t size() const { return size_; }
  /// Reads exactly `bytes` bytes, starting at `offset`.
  void read(void* destination, uint64_t bytes, uint64_t offset) const;

 private:
  std::string path_;
  int descriptor_;
  uint64_t size_ = 0;
};

}  // namespace residua
