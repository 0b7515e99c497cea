#include "core/cpu/scratch.h"

#include <cstdlib>
#include <memory>

#include "core/base/error.h"
#include "core/base/host_memory.h"

namespace residua::cpu {
namespace {

constexpr int64_t kAlignment = 64;

struct Release {
  void operator()(void* data) const { std::free(data); }
};

}  // namespace

void* scratch(int64_t bytes) {
  static thread_local std::unique_ptr<void, Release> buffer;
  static thread_local int64_t held = 0;
  if (bytes > held) {
    const int64_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    held = 0;
    buffer.reset(std::aligned_alloc(kAlignment, static_cast<size_t>(size)));
    if (buffer == nullptr) {
      throw OutOfMemory("out of memory on cpu: " + describe_shortage(size, host_memory()));
    }
    held = size;
  }
  return buffer.get();
}

float* scratch_floats(int64_t count) { return static_cast<float*>(scratch(count * static_cast<int64_t>(sizeof(float)))); }

}  // namespace residua::cpu
