#include "core/io/read_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/base/error.h"

namespace residua {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{1} << 31;

struct OpenFile {
  int descriptor;
  /// O_NONBLOCK: opening a pipe that nobody writes to must not wait.
  explicit OpenFile(const std::string& path) : descriptor(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC)) {}
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() {
    if (descriptor >= 0) {
      ::close(descriptor);
    }
  }
};

}  // namespace

void read_file(const std::filesystem::path& path, std::vector<uint8_t>& bytes) {
  const OpenFile file(path.string());
  struct stat status {};
  if (file.descriptor < 0 || ::fstat(file.descriptor, &status) != 0) {
    fail("{}: cannot be opened: {}", path.string(), std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) {
    fail("{}: is not a file", path.string());
  }
  if (status.st_size > kMaxFileBytes) {
    fail("{}: {} bytes; wanted at most {}", path.string(), status.st_size, kMaxFileBytes);
  }
  bytes.resize(static_cast<size_t>(status.st_size));
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::read(file.descriptor, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count <= 0) {
      fail("{}: cannot be read past byte {} of {}: {}", path.string(), done, bytes.size(),
           count == 0 ? "it shrank" : std::strerror(errno));
    }
    done += static_cast<size_t>(count);
  }
}

std::vector<std::string> read_lines(const std::filesystem::path& path) {
  std::vector<uint8_t> bytes;
  read_file(path, bytes);
  std::vector<std::string> lines;
  std::string line;
  bytes.push_back('\n');
  for (const uint8_t byte : bytes) {
    if (byte == '\n' || byte == '\r') {
      if (!line.empty()) {
        lines.push_back(line);
      }
      line.clear();
    } else {
      line += static_cast<char>(byte);
    }
  }
  return lines;
}

}  // namespace residua
