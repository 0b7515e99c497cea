#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/io/file_system.h"

namespace residua::test {

/// The real file system with a record of all operations and a fault at one of them.
class TestFileSystem final : public FileSystem {
 public:
  enum class Fault : uint8_t {
    none,
    fail,  // this operation fails, and no other
    stop,  // as if the process were killed: this operation and all later ones have no effect
  };

  TestFileSystem() = default;
  /// The fault occurs at operation number `at`, counted from 0.
  TestFileSystem(Fault fault, int64_t at, int error = EIO) : fault_(fault), at_(at), error_(error) {}

  /// The operations so far: "open weights", "write 5", "rename temporary weights", ...
  const std::vector<std::string>& operations() const { return operations_; }

  /// The most bytes that one read or write transfers.
  size_t most_bytes = SIZE_MAX;

  int open(const std::string& path, int flags) override {
    return fails("open " + shown(path)) ? -1 : FileSystem::open(path, flags);
  }
  off_t size(int descriptor) override { return fails("size") ? -1 : FileSystem::size(descriptor); }
  ssize_t read(int descriptor, void* data, size_t bytes, off_t offset) override {
    return fails("read") ? -1 : FileSystem::read(descriptor, data, std::min(bytes, most_bytes), offset);
  }
  ssize_t write(int descriptor, const void* data, size_t bytes) override {
    return fails("write " + std::to_string(bytes)) ? -1 : FileSystem::write(descriptor, data, std::min(bytes, most_bytes));
  }
  ssize_t write_at(int descriptor, const void* data, size_t bytes, off_t offset) override {
    return fails("write " + std::to_string(bytes))
               ? -1
               : FileSystem::write_at(descriptor, data, std::min(bytes, most_bytes), offset);
  }
  int sync(int descriptor) override { return fails("sync") ? -1 : FileSystem::sync(descriptor); }
  int lock(int descriptor, bool wait) override { return fails("lock") ? -1 : FileSystem::lock(descriptor, wait); }
  int close(int descriptor) override {
    const bool failed = fails("close");
    const int error = errno;
    const int result = FileSystem::close(descriptor);  // always, or the tests would run out of descriptors
    errno = error;
    return failed ? -1 : result;
  }
  int rename(const std::string& from, const std::string& to) override {
    return fails("rename " + shown(from) + " " + shown(to)) ? -1 : FileSystem::rename(from, to);
  }
  int remove(const std::string& path) override { return fails("remove " + shown(path)) ? -1 : FileSystem::remove(path); }
  int make_folders(const std::string& path) override {
    return fails("make_folders " + shown(path)) ? -1 : FileSystem::make_folders(path);
  }

 private:
  static std::string shown(const std::string& path) {
    const std::string name = std::filesystem::path(path).filename().string();
    return name.ends_with(".tmp") ? "temporary" : name;
  }

  bool fails(const std::string& operation) {
    const auto number = static_cast<int64_t>(operations_.size());
    operations_.push_back(operation);
    const bool fails = (fault_ == Fault::fail && number == at_) || (fault_ == Fault::stop && number >= at_);
    if (fails) {
      errno = error_;
    }
    return fails;
  }

  Fault fault_ = Fault::none;
  int64_t at_ = 0;
  int error_ = EIO;
  std::vector<std::string> operations_;
};

}  // namespace residua::test
