#include "tests/fuzz/fuzz_target.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/base/error.h"

namespace residua::test {
namespace {

namespace fs = std::filesystem;

std::map<std::string, FuzzTarget>& registered_targets() {
  static std::map<std::string, FuzzTarget> targets;
  return targets;
}

/// Removed when the process ends, but not when it crashes.
class Folder {
 public:
  Folder() {
    const fs::path memory = "/dev/shm";
    path_ = ((fs::is_directory(memory) ? memory : fs::temp_directory_path()) / "residua-fuzz-XXXXXX").string();
    require(::mkdtemp(path_.data()) != nullptr, "cannot make a folder");
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

RegisterFuzzTarget::RegisterFuzzTarget(const char* name, FuzzTarget target) { registered_targets().emplace(name, target); }

const std::map<std::string, FuzzTarget>& fuzz_targets() { return registered_targets(); }

void run(FuzzTarget target, std::span<const uint8_t> bytes) {
  try {
    target(bytes);
  } catch (const Error&) {
  }
}

void require(bool holds, const char* what) {
  if (!holds) {
    std::fprintf(stderr, "fuzz target: %s\n", what);
    std::abort();
  }
}

std::string fuzz_file(const std::string& name) {
  static const Folder folder;
  return folder.path() + "/" + name;
}

std::string fuzz_file(const std::string& name, std::span<const uint8_t> bytes) {
  std::string path = fuzz_file(name);
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  file.close();
  require(file.good(), "cannot write a file");
  return path;
}

std::string fuzz_file(const std::string& name, const std::string& text) {
  return fuzz_file(name, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
}

}  // namespace residua::test
