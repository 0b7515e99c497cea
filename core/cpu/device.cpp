// The CPU device's memory: freed blocks are kept by size, so that from the second training step on nothing is taken from the
// system and no page is touched for the first time.
#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <vector>

#include "core/cpu/onednn.h"
#include "core/tensor/device_api.h"
#include "core/tensor/error.h"

namespace residua {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int64_t kGuardBytes = 64;
constexpr unsigned char kPoison = 0xff;

class Pool {
 public:
  void* allocate(int64_t bytes) {
    const std::lock_guard lock(mutex_);
    const bool poisoned = fresh_ == device_api::FreshMemory::poisoned;
    const int64_t size = rounded(poisoned ? bytes + kGuardBytes : bytes);
    void* data = nullptr;
    // A block up to an eighth larger than needed serves too.
    if (const auto found = free_.lower_bound(size); found != free_.end() && found->first <= size + size / 8) {
      data = found->second.back();
      sizes_[data] = found->first;
      found->second.pop_back();
      if (found->second.empty()) {
        free_.erase(found);
      }
    } else {
      data = take(size);
      sizes_[data] = size;
      use_.held_bytes += size;
    }
    use_.live_bytes += sizes_[data];
    use_.peak_bytes = std::max(use_.peak_bytes, use_.live_bytes);
    if (poisoned) {
      std::memset(data, kPoison, static_cast<size_t>(bytes + kGuardBytes));
      guards_[data] = static_cast<unsigned char*>(data) + bytes;
    }
    return data;
  }

  void free(void* data) noexcept {
    const std::lock_guard lock(mutex_);
    if (const auto guard = guards_.find(data); guard != guards_.end()) {
      const auto intact = [](unsigned char byte) { return byte == kPoison; };
      use_.overruns += std::all_of(guard->second, guard->second + kGuardBytes, intact) ? 0 : 1;
      guards_.erase(guard);
    }
    const auto found = sizes_.find(data);
    use_.live_bytes -= found->second;
    free_[found->second].push_back(data);
    sizes_.erase(found);
  }

  device_api::MemoryUse use() {
    const std::lock_guard lock(mutex_);
    return use_;
  }

  void set_fresh_memory(device_api::FreshMemory fresh) {
    const std::lock_guard lock(mutex_);
    fresh_ = fresh;
  }

 private:
  static int64_t rounded(int64_t bytes) {
    const int64_t unit = bytes >= kHugePage ? kHugePage : kAlignment;
    return std::max((bytes + unit - 1) / unit * unit, kAlignment);
  }

  void* take(int64_t size) {
    const int64_t alignment = size >= kHugePage ? kHugePage : kAlignment;
    void* data = std::aligned_alloc(static_cast<size_t>(alignment), static_cast<size_t>(size));
    if (data == nullptr) {
      release_cached();
      data = std::aligned_alloc(static_cast<size_t>(alignment), static_cast<size_t>(size));
    }
    if (data == nullptr) {
      fail("out of memory on cpu: {} MiB wanted, {} MiB in use; use a smaller batch or crop size", size >> 20,
           use_.live_bytes >> 20);
    }
    if (alignment == kHugePage) {
      madvise(data, static_cast<size_t>(size), MADV_HUGEPAGE);
    }
    return data;
  }

  void release_cached() {
    for (const auto& [size, blocks] : free_) {
      for (void* block : blocks) {
        std::free(block);
        use_.held_bytes -= size;
      }
    }
    free_.clear();
  }

  std::mutex mutex_;
  std::map<int64_t, std::vector<void*>> free_;
  std::map<void*, int64_t> sizes_;
  std::map<void*, unsigned char*> guards_;  // of poisoned blocks: where their last 64 bytes begin
  device_api::FreshMemory fresh_ = device_api::FreshMemory::as_found;
  device_api::MemoryUse use_;
};

/// Never destroyed: tensors of static lifetime may outlive any other static object.
Pool& pool() {
  static Pool* const instance = new Pool;
  return *instance;
}

}  // namespace

namespace cpu {

Stream& current_stream(Device) {
  static Stream stream;
  return stream;
}

}  // namespace cpu

namespace device_api {

void* allocate(Device, int64_t bytes) { return pool().allocate(bytes); }

void free(Device, void* data, int64_t) noexcept { pool().free(data); }

void copy(Device, void* destination, Device, const void* source, int64_t bytes) {
  if (bytes > 0) {
    std::memcpy(destination, source, static_cast<size_t>(bytes));
  }
}

void synchronize(Device) {}

bool native(Device, DType dtype) { return cpu::onednn_native(dtype); }

MemoryUse memory_use(Device) { return pool().use(); }

void set_fresh_memory(Device, FreshMemory fresh) { pool().set_fresh_memory(fresh); }

}  // namespace device_api
}  // namespace residua
