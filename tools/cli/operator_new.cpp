#include "tools/cli/operator_new.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<size_t> failed_bytes = 0;
std::atomic<bool (*)(size_t) noexcept> fault = nullptr;

void* allocate(size_t bytes, size_t alignment) {
  auto* const refuses = fault.load(std::memory_order_relaxed);
  const size_t size = std::max<size_t>(bytes, 1);
  void* data = nullptr;
  if (refuses == nullptr || !refuses(bytes)) {
    data = alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__
               ? std::malloc(size)
               : std::aligned_alloc(alignment, (size + alignment - 1) & ~(alignment - 1));
  }
  if (data == nullptr) {
    failed_bytes = bytes;
    throw std::bad_alloc();
  }
  return data;
}

}  // namespace

// All forms but those with std::nothrow, which call these: a sanitizer has forms of its own, which do not.
void* operator new(size_t bytes) { return allocate(bytes, 0); }
void* operator new(size_t bytes, std::align_val_t alignment) { return allocate(bytes, static_cast<size_t>(alignment)); }
void operator delete(void* data) noexcept { std::free(data); }
void operator delete(void* data, size_t) noexcept { std::free(data); }
void operator delete(void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, size_t, std::align_val_t) noexcept { std::free(data); }
void* operator new[](size_t bytes) { return allocate(bytes, 0); }
void* operator new[](size_t bytes, std::align_val_t alignment) { return allocate(bytes, static_cast<size_t>(alignment)); }
void operator delete[](void* data) noexcept { std::free(data); }
void operator delete[](void* data, size_t) noexcept { std::free(data); }
void operator delete[](void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete[](void* data, size_t, std::align_val_t) noexcept { std::free(data); }

namespace residua {

size_t failed_request() noexcept { return failed_bytes; }
void set_new_fault(bool (*refuses)(size_t bytes) noexcept) { fault = refuses; }

}  // namespace residua
