#include "core/device/memory_pool.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/base/error.h"
#include "core/device/built_with_cuda.h"
#include "core/device/device_backend.h"
#include "core/device/profile.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) static_cast<void>(0)
#define ASAN_UNPOISON_MEMORY_REGION(address, size) static_cast<void>(0)
#endif

namespace residua {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kLargeUnit = int64_t{2} << 20;  // size of a huge page and granularity of device memory
constexpr int64_t kGuardBytes = 64;
constexpr unsigned char kPoison = 0xff;
constexpr size_t kUsersShown = 5;

int64_t rounded(int64_t bytes) {
  const int64_t unit = bytes >= kLargeUnit ? kLargeUnit : kAlignment;
  return std::max((bytes + unit - 1) / unit * unit, kAlignment);
}

bool is_cpu(Device device) { return device.type == Device::Type::cpu; }

void* allocate_raw(Device device, int64_t size) noexcept {
  if constexpr (kBuiltWithCuda) {
    return is_cpu(device) ? cpu::allocate(device.index, size) : cuda::allocate(device.index, size);
  } else {
    return cpu::allocate(device.index, size);
  }
}

void deallocate_raw(Device device, void* data, int64_t bytes) noexcept {
  if constexpr (kBuiltWithCuda) {
    is_cpu(device) ? cpu::deallocate(device.index, data, bytes) : cuda::deallocate(device.index, data, bytes);
  } else {
    cpu::deallocate(device.index, data, bytes);
  }
}

void set_raw(Device device, void* data, int64_t bytes) {
  if constexpr (kBuiltWithCuda) {
    is_cpu(device) ? cpu::set_bytes(device.index, data, kPoison, bytes) : cuda::set_bytes(device.index, data, kPoison, bytes);
  } else {
    cpu::set_bytes(device.index, data, kPoison, bytes);
  }
}

/// `held` bytes are those that the pool has.
MemorySpace space_raw(Device device, [[maybe_unused]] int64_t held) {
  if constexpr (kBuiltWithCuda) {
    if (!is_cpu(device)) {
      MemorySpace space = cuda::memory_space(device.index);
      space.used_bytes = held;
      return space;
    }
  }
  return cpu::memory_space(device.index);
}

}  // namespace

MemoryPool::FreeBlocks::node_type MemoryPool::take(int64_t size) {
  FreeBlocks& cached = free_of(owner_);
  // A block up to one eighth larger than needed is good enough.
  if (const auto found = cached.lower_bound(size); found != cached.end() && found->first <= size + size / 8) {
    return cached.extract(found);
  }
  FreeBlocks added;
  added.emplace(size, nullptr);
  FreeBlocks::node_type memory = added.extract(added.begin());
  memory.mapped() = allocate_block(size);
  use_.held_bytes += size;
  return memory;
}

void* MemoryPool::allocate(int64_t bytes) {
  const std::lock_guard lock(mutex_);
  const bool poisoned = fresh_ == device_api::FreshMemory::poisoned && owner_ == Owner::work;
  const int64_t wanted = rounded(poisoned ? bytes + kGuardBytes : bytes);
  if (refuses_ && refuses_(bytes, use_.live_bytes)) {
    fail_for_memory(wanted);
  }
  // Whatever the host's memory refuses, it refuses before the device's memory is taken.
  Blocks added;
  added.emplace(nullptr, Block{.memory = {}, .owner = owner_, .user = std::string(profile::layer())});
  Blocks::node_type node = added.extract(added.begin());
  Block& block = node.mapped();
  block.memory = take(wanted);
  const int64_t size = block.size();
  void* data = block.memory.mapped();
  node.key() = data;
  blocks_.insert(std::move(node));
  use_.live_bytes += size;
  use_.peak_bytes = std::max(use_.peak_bytes, use_.live_bytes);
  ASAN_UNPOISON_MEMORY_REGION(data, static_cast<size_t>(size));
  if (poisoned) {
    set_raw(device_, data, bytes + kGuardBytes);
    block.guard = static_cast<unsigned char*>(data) + bytes;
  }
  // On a device with a stream, the block may still be in use by queued work of its last owner.
  if (poisoned || is_cpu(device_)) {
    ASAN_POISON_MEMORY_REGION(static_cast<unsigned char*>(data) + bytes, static_cast<size_t>(size - bytes));
  }
  return data;
}

bool MemoryPool::guard_intact(const Block& block) const {
  std::array<unsigned char, kGuardBytes> bytes{};
  try {
    device_api::copy(Device{}, bytes.data(), device_, block.guard, kGuardBytes);
  } catch (const Error&) {
    return false;
  }
  return std::ranges::all_of(bytes, [](unsigned char byte) { return byte == kPoison; });
}

void MemoryPool::free(void* data) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = blocks_.find(data);
  Block& block = found->second;
  const int64_t size = block.size();
  ASAN_UNPOISON_MEMORY_REGION(data, static_cast<size_t>(size));
  if (block.guard != nullptr && !guard_intact(block)) {
    ++use_.overruns;
  }
  use_.live_bytes -= size;
  if (is_cpu(device_)) {
    ASAN_POISON_MEMORY_REGION(data, static_cast<size_t>(size));
  }
  // First of its size: the processor's cache has more of it than of the others.
  FreeBlocks& cached = free_of(block.owner);
  cached.insert(cached.lower_bound(size), std::move(block.memory));
  blocks_.erase(found);
}

device_api::MemoryUse MemoryPool::use() {
  const std::lock_guard lock(mutex_);
  return use_;
}

void MemoryPool::set_fresh_memory(device_api::FreshMemory fresh) {
  const std::lock_guard lock(mutex_);
  fresh_ = fresh;
}

void MemoryPool::set_allocation_fault(device_api::AllocationFault refuses) {
  const std::lock_guard lock(mutex_);
  refuses_ = std::move(refuses);
}

void MemoryPool::begin_capture() {
  const std::lock_guard lock(mutex_);
  release(free_);
  owner_ = Owner::graphs;
  ++graphs_;
}

void MemoryPool::end_capture() {
  const std::lock_guard lock(mutex_);
  owner_ = Owner::work;
}

void MemoryPool::drop_capture() noexcept {
  const std::lock_guard lock(mutex_);
  if (--graphs_ == 0) {
    release(graph_free_);
    for (auto& [data, block] : blocks_) {
      block.owner = Owner::work;
    }
  }
}

void* MemoryPool::allocate_block(int64_t size) {
  void* data = allocate_raw(device_, size);
  if (data == nullptr) {
    release(free_);
    data = allocate_raw(device_, size);
  }
  if (data == nullptr) {
    fail_for_memory(size);
  }
  return data;
}

void MemoryPool::fail_for_memory(int64_t size) const {
  throw OutOfMemory(fmt::format("out of memory on {}: {}{}; use a smaller batch or crop size", device_.string(),
                                describe_shortage(size, space_raw(device_, use_.held_bytes)), largest_users()));
}

void MemoryPool::release(FreeBlocks& blocks) noexcept {
  for (const auto& [size, block] : blocks) {
    ASAN_UNPOISON_MEMORY_REGION(block, static_cast<size_t>(size));
    deallocate_raw(device_, block, size);
    use_.held_bytes -= size;
  }
  blocks.clear();
}

/// Text for the error message: ", most of it by layer1.0.conv1.weight (392 MiB), ...".
std::string MemoryPool::largest_users() const {
  std::map<std::string, int64_t> by_user;
  for (const auto& [data, block] : blocks_) {
    by_user[block.user.empty() ? "weights, inputs and others" : block.user] += block.size();
  }
  std::vector<std::pair<int64_t, std::string>> order;
  for (const auto& [user, bytes] : by_user) {
    order.emplace_back(bytes, user);
  }
  std::ranges::sort(order, std::greater<>());
  std::string text;
  for (size_t i = 0; i < std::min(order.size(), kUsersShown); ++i) {
    text += fmt::format("{}{} ({} MiB)", i == 0 ? ", most of it by " : ", ", order[i].second, order[i].first >> 20);
  }
  return text;
}

}  // namespace residua
