#include "core/run/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "core/base/error.h"
#include "core/io/atomic_file.h"

namespace residua {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFilesOfARun[] = {"checkpoint.safetensors", "best.safetensors", "last.safetensors"};

}  // namespace

RunFolder::RunFolder(const std::string& path, Existing existing) {
  std::error_code error;
  fs::create_directories(path, error);
  if (!fs::is_directory(path)) {
    fail_usage("the output folder {} cannot be made: {}; choose another --output", path,
               error ? error.message() : "a file of that name exists");
  }
  if (::access(path.c_str(), W_OK | X_OK) != 0) {
    fail_usage("the output folder {} cannot be written to: {}; choose another --output", path,
               std::system_category().message(errno));
  }
  for (const char* file : kFilesOfARun) {
    if (existing == Existing::refuse && fs::exists(fs::path(path) / file)) {
      fail_usage(
          "{} holds a run already ({}): --resume auto goes on with it; for a new run remove it or choose another --output",
          path, file);
    }
  }
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor_ >= 0 && ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(descriptor_);
    fail_usage("another run is writing to {}: wait for its end or choose another --output", path);
  }
  remove_temporary_files(path);
}

RunFolder::~RunFolder() {
  if (descriptor_ >= 0) {
    ::close(descriptor_);
  }
}

}  // namespace residua
