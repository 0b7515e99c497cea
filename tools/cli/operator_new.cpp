#include "tools/cli/operator_new.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<size_t> failed_bytes = 0;
std::atomic<bool (*)(size_t) noexcept> fault = nullptr;

/// Null if there is no memory.
void* attempt(size_t bytes, size_t alignment) noexcept {
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
  }
  return data;
}

void* allocate(size_t bytes, size_t alignment) {
  void* data = attempt(bytes, alignment);
  if (data == nullptr) {
    throw std::bad_alloc();
  }
  return data;
}

size_t number(std::align_val_t alignment) { return static_cast<size_t>(alignment); }

}  // namespace

// All forms: a sanitizer has forms of its own for those that are missing, and they do not go with these.
void* operator new(size_t bytes) { return allocate(bytes, 0); }
void* operator new(size_t bytes, std::align_val_t alignment) { return allocate(bytes, number(alignment)); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return attempt(bytes, 0); }
void* operator new(size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return attempt(bytes, number(alignment));
}
void operator delete(void* data) noexcept { std::free(data); }
void operator delete(void* data, size_t) noexcept { std::free(data); }
void operator delete(void* data, const std::nothrow_t&) noexcept { std::free(data); }
void operator delete(void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, size_t, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, std::align_val_t, const std::nothrow_t&) noexcept { std::free(data); }
void* operator new[](size_t bytes) { return allocate(bytes, 0); }
void* operator new[](size_t bytes, std::align_val_t alignment) { return allocate(bytes, number(alignment)); }
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept { return attempt(bytes, 0); }
void* operator new[](size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return attempt(bytes, number(alignment));
}
void operator delete[](void* data) noexcept { std::free(data); }
void operator delete[](void* data, size_t) noexcept { std::free(data); }
void operator delete[](void* data, const std::nothrow_t&) noexcept { std::free(data); }
void operator delete[](void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete[](void* data, size_t, std::align_val_t) noexcept { std::free(data); }
void operator delete[](void* data, std::align_val_t, const std::nothrow_t&) noexcept { std::free(data); }

namespace residua {

size_t failed_request() noexcept { return failed_bytes; }
void set_new_fault(bool (*refuses)(size_t bytes) noexcept) { fault = refuses; }

}  // namespace residua
