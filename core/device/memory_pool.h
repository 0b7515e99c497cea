#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "core/device/device_api.h"

namespace residua {

/// A device's memory: freed blocks are kept by size, so that from the second training step on nothing is taken from the system
/// and no page is touched for the first time. A block may be handed out again while work queued before is still using it: the
/// device runs it in order.
class MemoryPool {
 public:
  explicit MemoryPool(Device device) : device_(device) {}

  /// Fails when the system has none left, with what was wanted, what is in use, and by which layers.
  void* allocate(int64_t bytes);
  void free(void* data) noexcept;
  device_api::MemoryUse use();
  void set_fresh_memory(device_api::FreshMemory fresh);

  /// From now on blocks come from a set of their own, which captured graphs keep pointers into: they are handed out for
  /// captured work alone, until all of the graphs are gone. What is cached outside of it goes back to the system.
  void begin_capture();
  void end_capture();
  /// One of the graphs is gone.
  void drop_capture() noexcept;

 private:
  enum class Owner : uint8_t { work, graphs };
  struct Block {
    int64_t size;
    Owner owner;
    std::string user;                // the layer that asked for it
    unsigned char* guard = nullptr;  // where the last 64 bytes of a poisoned block begin
  };
  using FreeBlocks = std::map<int64_t, std::vector<void*>>;

  void* allocate_block(int64_t size);
  void release(FreeBlocks& blocks) noexcept;
  bool guard_intact(const Block& block) const;
  std::string largest_users() const;
  FreeBlocks& free_of(Owner owner) { return owner == Owner::work ? free_ : graph_free_; }

  const Device device_;
  std::mutex mutex_;
  FreeBlocks free_, graph_free_;
  std::map<void*, Block> blocks_;  // handed out
  Owner owner_ = Owner::work;
  int64_t graphs_ = 0;
  device_api::FreshMemory fresh_ = device_api::FreshMemory::as_found;
  device_api::MemoryUse use_;
};

}  // namespace residua
