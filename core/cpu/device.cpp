// The CPU device's implementation of core/device/device_backend.h.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "core/cpu/isa.h"
#include "core/cpu/onednn.h"
#include "core/device/device_backend.h"

namespace residua::cpu {
namespace {

constexpr int64_t kAlignment = 64;
constexpr int64_t kHugePage = int64_t{2} << 20;
/// Stays free: oneDNN crashes if it gets no memory for the code that it makes.
constexpr int64_t kForLibraries = int64_t{64} << 20;

/// Memory from the system, aligned to huge pages; null if there is none. Unlike that of malloc, it goes back to the system.
void* map_huge_pages(size_t bytes) noexcept {
  constexpr auto kUnit = static_cast<size_t>(kHugePage);
  void* mapped = mmap(nullptr, bytes + kUnit, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) {
    return nullptr;
  }
  auto* first = static_cast<unsigned char*>(mapped);
  const size_t before = (kUnit - reinterpret_cast<uintptr_t>(first) % kUnit) % kUnit;
  if (before > 0) {
    munmap(first, before);
  }
  munmap(first + before + bytes, kUnit - before);
  madvise(first + before, bytes, MADV_HUGEPAGE);
  return first + before;
}

}  // namespace

Stream& current_stream(Device) {
  static Stream stream;
  return stream;
}

void* allocate(int device, int64_t bytes) noexcept {
  if (bytes < kHugePage) {
    return std::aligned_alloc(static_cast<size_t>(kAlignment), static_cast<size_t>(bytes));
  }
  // The system promises more memory than it has, and kills the process that uses it.
  return bytes <= memory_space(device).free_bytes ? map_huge_pages(static_cast<size_t>(bytes)) : nullptr;
}

void deallocate(int, void* data, int64_t bytes) noexcept {
  if (bytes < kHugePage) {
    std::free(data);
  } else {
    munmap(data, static_cast<size_t>(bytes));
  }
}

MemorySpace memory_space(int) noexcept {
  MemorySpace space = host_memory();
  if (space.free_bytes != INT64_MAX) {
    space.free_bytes = std::max<int64_t>(space.free_bytes - kForLibraries, 0);
  }
  return space;
}

void set_bytes(int, void* data, unsigned char value, int64_t bytes) { std::memset(data, value, static_cast<size_t>(bytes)); }

void copy(Device, void* destination, Device, const void* source, int64_t bytes, device_api::StreamKind) {
  std::memcpy(destination, source, static_cast<size_t>(bytes));
}

void synchronize(int) {}

bool native(int, DType dtype) { return onednn_native(dtype); }

device_api::DeviceDescription describe(int) {
  device_api::DeviceDescription description{.name = "unknown processor", .software = {}, .cache_bytes = 0};
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name") && line.find(": ") != std::string::npos) {
      description.name = line.substr(line.find(": ") + 2);
      break;
    }
  }
  description.instructions = std::string(isa_name()) + (onednn_has_amx() ? " and AMX" : "");
  description.cache_bytes = std::max(sysconf(_SC_LEVEL3_CACHE_SIZE), 0L);
  return description;
}

}  // namespace residua::cpu
