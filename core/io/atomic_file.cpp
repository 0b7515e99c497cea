#include "core/io/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "core/io/file_system.h"
#include "core/io/list_folder.h"

namespace residua {

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  const std::filesystem::path target(path_);
  folder_ = target.has_parent_path() ? target.parent_path().string() : ".";
  constexpr int kAttempts = 1000;
  for (int attempt = 0; attempt < kAttempts && descriptor_ < 0; ++attempt) {
    temporary_ = fmt::format("{}/.{}.{}-{}.tmp", folder_, target.filename().string(), ::getpid(), attempt);
    descriptor_ = file_system().open(temporary_, O_WRONLY | O_CREAT | O_EXCL);
    if (descriptor_ < 0 && errno != EEXIST) {
      break;
    }
  }
  if (descriptor_ < 0) {
    fail_io("create a temporary file to write", path_, errno);
  }
}

AtomicFile::~AtomicFile() { close_and_remove(); }

void AtomicFile::close_and_remove() noexcept {
  if (descriptor_ >= 0) {
    file_system().close(std::exchange(descriptor_, -1));
    file_system().remove(temporary_);
  }
}

void AtomicFile::write(const void* data, size_t bytes) {
  if (descriptor_ < 0) {
    fail("cannot write {}: it has been committed or has failed", path_);
  }
  if (const int error = write_all(descriptor_, data, bytes); error != 0) {
    close_and_remove();
    fail_io("write", path_, error);
  }
}

void AtomicFile::commit() {
  if (descriptor_ < 0) {
    fail("cannot commit {}: it has been committed or has failed", path_);
  }
  if (file_system().sync(descriptor_) != 0) {
    const int error = errno;
    close_and_remove();
    fail_io("sync", path_, error);
  }
  if (file_system().close(std::exchange(descriptor_, -1)) != 0) {
    const int error = errno;
    file_system().remove(temporary_);
    fail_io("close", path_, error);
  }
  if (file_system().rename(temporary_, path_) != 0) {
    const int error = errno;
    file_system().remove(temporary_);
    fail_io("replace", path_, error);
  }
  sync_folder(folder_);
}

void atomic_write(const std::string& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

namespace {

/// Whether an AtomicFile gives its temporary file such a name: ".NAME.PROCESS-NUMBER.tmp".
bool is_temporary(std::string_view name) {
  if (!name.starts_with('.') || !name.ends_with(".tmp")) {
    return false;
  }
  name.remove_suffix(4);
  const std::string_view numbers = name.substr(name.rfind('.') + 1);
  return numbers.find('-') != std::string_view::npos && numbers.find_first_not_of("0123456789-") == std::string_view::npos;
}

}  // namespace

void remove_temporary_files(const std::string& folder) {
  for (const std::string& path : list_folder(folder)) {
    if (is_temporary(std::filesystem::path(path).filename().string())) {
      file_system().remove(path);
    }
  }
}

}  // namespace residua
