#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "core/device/allocation_fault.h"
#include "core/device/device_api.h"

namespace residua {

/// A caching allocator for one device. Freed blocks are kept by size, so from the second training step on nothing is allocated
/// from the system and no page is touched for the first time. A block may be reused while queued work still uses it, because
/// the device runs work in order.
class MemoryPool {
 public:
  explicit MemoryPool(Device device) : device_(device) {}

  /// Throws OutOfMemory if the system has no memory left; the message says how much was wanted, how much is in use and which
  /// layers use most.
  void* allocate(int64_t bytes);
  void free(void* data) noexcept;
  device_api::MemoryUse use();
  void set_fresh_memory(device_api::FreshMemory fresh);
  void set_allocation_fault(device_api::AllocationFault refuses);

  /// Until end_capture(), blocks come from a separate set that captured graphs point into. These blocks are reused for captured
  /// work only, until all graphs are gone. Cached blocks outside this set go back to the system.
  void begin_capture();
  void end_capture();
  /// Reports that one of the graphs is gone.
  void drop_capture() noexcept;

 private:
  enum class Owner : uint8_t { work, graphs };
  using FreeBlocks = std::multimap<int64_t, void*>;  // by size
  struct Block {
    FreeBlocks::node_type memory;  // size and address: its place among the free blocks, so that free() allocates nothing
    Owner owner;
    std::string user;                // the layer that allocated it
    unsigned char* guard = nullptr;  // start of the 64 guard bytes of a poisoned block

    int64_t size() const { return memory.key(); }
  };
  using Blocks = std::map<void*, Block>;

  /// A cached block of about this size, or a new one.
  FreeBlocks::node_type take(int64_t size);
  void* allocate_block(int64_t size);
  [[noreturn]] void fail_for_memory(int64_t size) const;
  void release(FreeBlocks& blocks) noexcept;
  bool guard_intact(const Block& block) const;
  std::string largest_users() const;
  FreeBlocks& free_of(Owner owner) { return owner == Owner::work ? free_ : graph_free_; }

  const Device device_;
  std::mutex mutex_;
  FreeBlocks free_, graph_free_;
  Blocks blocks_;  // allocated
  Owner owner_ = Owner::work;
  int64_t graphs_ = 0;
  device_api::FreshMemory fresh_ = device_api::FreshMemory::as_found;
  device_api::AllocationFault refuses_;  // empty: never
  device_api::MemoryUse use_;
};

}  // namespace residua
