#include "core/io/append_file.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/warning.h"
#include "core/io/file_system.h"

namespace residua {

AppendFile::AppendFile(std::string path)
    : path_(std::move(path)), descriptor_(file_system().open(path_, O_WRONLY | O_CREAT | O_APPEND)) {
  if (descriptor_ < 0) {
    fail_io("open for writing", path_, errno);
  }
}

AppendFile::AppendFile(AppendFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0 && file_system().close(descriptor_) != 0) {
    warn("cannot close {}: {} (errno {})", path_, std::strerror(errno), errno);
  }
}

void AppendFile::append(std::string_view bytes) {
  if (const int error = write_all(descriptor_, bytes.data(), bytes.size()); error != 0) {
    fail_io("write", path_, error);
  }
}

}  // namespace residua
