#include "core/io/input_file.h"

#include <fcntl.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "core/io/file_system.h"

namespace residua {

// O_NONBLOCK: opening a FIFO must not wait for its writer. O_NOCTTY: a terminal must not become this process's own.
InputFile::InputFile(std::string path)
    : path_(std::move(path)), descriptor_(file_system().open(path_, O_RDONLY | O_NONBLOCK | O_NOCTTY)) {
  if (descriptor_ < 0) {
    fail("{}: cannot be opened: {}", path_, std::system_category().message(errno));
  }
  const off_t size = file_system().size(descriptor_);
  if (size < 0) {
    const int error = errno;
    file_system().close(descriptor_);
    if (error == EINVAL) {
      fail("{}: is not a regular file", path_);
    }
    fail("{}: its size cannot be read: {}", path_, std::system_category().message(error));
  }
  size_ = static_cast<uint64_t>(size);
}

InputFile::~InputFile() { file_system().close(descriptor_); }

void InputFile::read(void* destination, uint64_t bytes, uint64_t offset) const {
  char* next = static_cast<char*>(destination);
  while (bytes > 0) {
    const ssize_t got = file_system().read(descriptor_, next, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      fail("{}: cannot be read past byte {} of {}: {}", path_, offset, size_,
           got < 0 ? std::system_category().message(errno) : "the file became shorter");
    }
    next += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<uint64_t>(got);
  }
}

}  // namespace residua
