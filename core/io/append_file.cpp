#include "core/io/append_file.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/warning.h"
#include "core/io/file_system.h"

namespace residua {

AppendFile::AppendFile(std::string path) : path_(std::move(path)), descriptor_(file_system().open(path_, O_WRONLY | O_CREAT)) {
  if (descriptor_ < 0) {
    fail_io("open for writing", path_, errno);
  }
  size_ = std::max<off_t>(file_system().size(descriptor_), 0);  // a device has none
}

AppendFile::AppendFile(AppendFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      size_(other.size_),
      pending_(std::move(other.pending_)) {}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0 && file_system().close(descriptor_) != 0) {
    warn("cannot close {}: {} (errno {})", path_, std::strerror(errno), errno);
  }
}

void AppendFile::append(std::string_view bytes) {
  pending_ += bytes;
  if (const int error = write_all_at(descriptor_, pending_.data(), pending_.size(), size_); error != 0) {
    fail_io("write", path_, error);
  }
  size_ += static_cast<off_t>(pending_.size());
  pending_.clear();
}

}  // namespace residua
