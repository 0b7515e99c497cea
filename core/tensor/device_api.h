#pragma once

#include <cstdint>

#include "core/tensor/device.h"
#include "core/tensor/dtype.h"

namespace residua {

namespace cpu {
class Stream;
/// The calling thread's stream of the CPU device: work runs at once, in order.
Stream& current_stream(Device device);
}  // namespace cpu

namespace cuda {
class Stream;
Stream& current_stream(Device device);
}  // namespace cuda

/// The seam between tensors and devices: everything that core asks of a device besides `run(device, args)`.
namespace device_api {

/// At least `bytes` bytes, aligned to 64, uninitialised, from the device's pool. Fails with what was wanted and what is in use.
void* allocate(Device device, int64_t bytes);
/// Gives memory back to the pool; work already queued on it stays valid.
void free(Device device, void* data, int64_t bytes) noexcept;
/// Copies `bytes` bytes between or within devices, ordered with the work on both current streams.
void copy(Device to, void* destination, Device from, const void* source, int64_t bytes);
/// Waits until all queued work of the device has ended.
void synchronize(Device device);

/// Whether the device has instructions for convolutions in this type; where it has none they run in f32 on converted copies.
bool native(Device device, DType dtype);

struct MemoryUse {
  int64_t live_bytes = 0;  // handed out now
  int64_t peak_bytes = 0;  // most ever handed out at once
  int64_t held_bytes = 0;  // taken from the system: handed out and cached
  int64_t overruns = 0;    // poisoned blocks that had been written past their end when they came back
};
MemoryUse memory_use(Device device);

/// For tests. Poisoned memory is handed out full of 0xff bytes, a NaN in every floating type, with 64 more behind it that must
/// still be there when it comes back.
enum class FreshMemory : uint8_t { as_found, poisoned };
void set_fresh_memory(Device device, FreshMemory fresh);

}  // namespace device_api
}  // namespace residua
