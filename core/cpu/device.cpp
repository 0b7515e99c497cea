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

}  // namespace

Stream& current_stream(Device) {
  static Stream stream;
  return stream;
}

void* allocate(int, int64_t bytes) noexcept {
  const int64_t alignment = bytes >= kHugePage ? kHugePage : kAlignment;
  // The system promises more memory than it has, and kills the process that uses it.
  if (alignment == kHugePage && bytes > host_memory().free_bytes) {
    return nullptr;
  }
  void* data = std::aligned_alloc(static_cast<size_t>(alignment), static_cast<size_t>(bytes));
  if (data != nullptr && alignment == kHugePage) {
    madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  }
  return data;
}

void deallocate(int, void* data) noexcept { std::free(data); }

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
