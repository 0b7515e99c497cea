#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace residua {

/// A file that appears under its name complete or not at all. Bytes go to a hidden temporary file in the same folder; commit()
/// makes them durable and renames the file to `path`. Until then, and after any failure, the old file is unchanged. Every call
/// throws Error that names the path and the system's reason. The destructor removes the temporary file if commit() was not
/// called.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Calls fsync, close, rename, and fsync of the folder. No write may follow.
  void commit();

 private:
  void close_and_remove() noexcept;

  std::string path_;
  std::string folder_;
  std::string temporary_;
  int descriptor_ = -1;
};

/// Replaces the whole content of `path`.
void atomic_write(const std::string& path, std::string_view content);

/// Removes the temporary files that killed processes left in a folder. No other process may be writing there.
void remove_temporary_files(const std::string& folder);

}  // namespace residua
