#pragma once

// The CUDA kernel language for g++: one host thread runs the threads of a block as fibers, in turn. It is made to find faults,
// not to be fast: it checks what a GPU leaves undefined. Only cuda/device/launch.cuh includes it.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>
#include <utility>

#include "cuda/runtime/stream.h"

#define __global__
#define __device__
#define __host__
#define __launch_bounds__(...)

namespace residua::host_cuda {

struct Dim {
  unsigned x = 0, y = 0, z = 0;
};

/// The built-in variables as the running fiber sees them.
struct ThreadView {
  Dim thread, block, block_size, grid_size;
};
extern thread_local ThreadView view;

struct Shape {
  int64_t blocks;
  int threads;
  int64_t shared_bytes;
};

/// Queues a launch: every thread of every block runs `body`.
void launch(cuda::Stream& stream, const Shape& shape, std::function<void()> body);

void* shared_memory_bytes(const void* place, int64_t bytes);
void* dynamic_shared_memory();

template <class T>
T* shared_memory(const void* place, int64_t count) {
  static_assert(std::is_trivial_v<T>);
  return static_cast<T*>(shared_memory_bytes(place, count * static_cast<int64_t>(sizeof(T))));
}

void barrier();

enum class WarpOperation { shuffle, ballot };
/// Waits until all lanes of the mask have reached the same operation. Returns the value of lane `source`, or the ballot.
uint64_t exchange(WarpOperation operation, unsigned mask, uint64_t value, unsigned source);

template <class T>
T shuffle(unsigned mask, T value, unsigned source) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = exchange(WarpOperation::shuffle, mask, bits, source);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace residua::host_cuda

// These names are CUDA's.
#define threadIdx (::residua::host_cuda::view.thread)
#define blockIdx (::residua::host_cuda::view.block)
#define blockDim (::residua::host_cuda::view.block_size)
#define gridDim (::residua::host_cuda::view.grid_size)

inline void __syncthreads() { ::residua::host_cuda::barrier(); }

template <class T>
T __shfl_sync(unsigned mask, T value, int source) {
  return ::residua::host_cuda::shuffle(mask, value, static_cast<unsigned>(source));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
  return ::residua::host_cuda::shuffle(mask, value, (threadIdx.x % 32) ^ static_cast<unsigned>(bits));
}
inline unsigned __ballot_sync(unsigned mask, int condition) {
  return static_cast<unsigned>(
      ::residua::host_cuda::exchange(::residua::host_cuda::WarpOperation::ballot, mask, condition != 0 ? 1 : 0, 0));
}

// Blocks run one after the other, so these need not be atomic.
inline int atomicAdd(int* address, int value) { return std::exchange(*address, *address + value); }
inline int atomicExch(int* address, int value) { return std::exchange(*address, value); }

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
// NOLINTEND(readability-identifier-naming,bugprone-reserved-identifier)
