#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "core/io/file_system.h"
#include "tests/support/temporary_folder.h"

namespace residua::test {

/// The real file system with a record of all operations and a fault at one of them. It can also tell what a power loss would
/// leave.
class TestFileSystem final : public FileSystem {
 public:
  enum class Fault : uint8_t {
    none,
    fail,  // this operation fails, and no other
    stop,  // as if the process were killed: this operation and all later ones have no effect
  };
  /// What a power loss leaves of the names that were changed and not synced.
  enum class Names : uint8_t { as_synced, as_changed };

  TestFileSystem() = default;
  /// The fault occurs at operation number `at`, counted from 0.
  TestFileSystem(Fault fault, int64_t at, int error = EIO) : fault_(fault), at_(at), error_(error) {}

  /// The operations so far: "open weights", "write 5", "rename temporary weights", ...
  const std::vector<std::string>& operations() const { return operations_; }

  /// The most bytes that one read or write transfers.
  size_t most_bytes = SIZE_MAX;

  /// From now on, keeps account of what a power loss would leave of a folder. What it holds now is on the disk.
  void watch(const std::string& folder) {
    folder_ = folder;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const int64_t file = ++files_;
      names_[entry.path().string()] = file;
      synced_bytes_[file] = read_bytes(entry.path().string());
    }
    synced_names_ = names_;
  }
  /// Loses the power: the folder gets what was synced. A file that was not has no bytes.
  void lose_power(Names names) const {
    for (const auto& [path, file] : names_) {
      std::filesystem::remove(path);
    }
    for (const auto& [path, file] : names == Names::as_synced ? synced_names_ : names_) {
      const auto bytes = synced_bytes_.find(file);
      write_bytes(path, bytes == synced_bytes_.end() ? std::string() : bytes->second);
    }
  }

  int open(const std::string& path, int flags) override {
    if (fails("open " + shown(path))) {
      return -1;
    }
    const int descriptor = FileSystem::open(path, flags);
    const std::lock_guard lock(mutex_);
    if (descriptor >= 0 && path.starts_with(folder_ + "/")) {
      if (const auto [entry, is_new] = names_.try_emplace(path, files_ + 1); is_new) {
        files_ = entry->second;
      }
      open_[descriptor] = path;
    } else if (descriptor >= 0) {
      open_[descriptor] = path == folder_ ? path : "";
    }
    return descriptor;
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
  int sync(int descriptor) override {
    if (fails("sync")) {
      return -1;
    }
    if (folder_.empty()) {
      return FileSystem::sync(descriptor);
    }
    const std::lock_guard lock(mutex_);  // no disk waits: what it would hold is known
    if (open_[descriptor] == folder_) {
      synced_names_ = names_;
    } else if (const auto found = names_.find(open_[descriptor]); found != names_.end()) {
      synced_bytes_[found->second] = read_bytes(found->first);
    }
    return 0;
  }
  int lock(int descriptor, bool wait) override { return fails("lock") ? -1 : FileSystem::lock(descriptor, wait); }
  int close(int descriptor) override {
    const bool failed = fails("close");
    const int error = errno;
    const int result = FileSystem::close(descriptor);  // always, or the tests would run out of descriptors
    errno = error;
    return failed ? -1 : result;
  }
  int rename(const std::string& from, const std::string& to) override {
    if (fails("rename " + shown(from) + " " + shown(to))) {
      return -1;
    }
    const int result = FileSystem::rename(from, to);
    const std::lock_guard lock(mutex_);
    if (auto entry = names_.extract(from); result == 0 && !entry.empty()) {
      names_[to] = entry.mapped();
    }
    return result;
  }
  int remove(const std::string& path) override {
    if (fails("remove " + shown(path))) {
      return -1;
    }
    const std::lock_guard lock(mutex_);
    names_.erase(path);
    return FileSystem::remove(path);
  }
  int make_folders(const std::string& path) override {
    return fails("make_folders " + shown(path)) ? -1 : FileSystem::make_folders(path);
  }

 private:
  static std::string shown(const std::string& path) {
    const std::string name = std::filesystem::path(path).filename().string();
    return name.ends_with(".tmp") ? "temporary" : name;
  }

  bool fails(const std::string& operation) {
    const std::lock_guard lock(mutex_);
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
  std::mutex mutex_;  // a save is written by a thread of its own

  std::string folder_;  // watched; empty: none
  int64_t files_ = 0;   // known so far; each has its number, whatever its name
  std::map<std::string, int64_t> names_, synced_names_;
  std::map<int64_t, std::string> synced_bytes_;
  std::map<int, std::string> open_;  // paths by descriptor
};

}  // namespace residua::test
