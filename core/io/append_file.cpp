#include "core/io/append_file.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "core/base/error.h"

namespace residua {
namespace {

std::string reason(int error) { return fmt::format("{} (errno {})", std::system_category().message(error), error); }

}  // namespace

AppendFile::AppendFile(std::string path)
    : path_(std::move(path)), descriptor_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666)) {
  if (descriptor_ < 0) {
    fail("cannot open {} for writing: {}", path_, reason(errno));
  }
}

AppendFile::AppendFile(AppendFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

AppendFile::~AppendFile() {
  if (descriptor_ >= 0 && ::close(descriptor_) != 0) {
    spdlog::error("cannot close {}: {}", path_, reason(errno));
  }
}

void AppendFile::append(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      fail("cannot write {}: {}", path_, reason(written < 0 ? errno : EIO));
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace residua
