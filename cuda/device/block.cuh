#pragma once

#include "cuda/device/warp.cuh"

// Shared memory of a block. RESIDUA_SHARED(float, partial, 64) declares a pointer `partial` to 64 floats that all threads of
// the block share. The size is a constant, and the type must be trivial. Each use in the code has memory of its own. The memory
// is uninitialized; on the host it is filled with NaN.
#ifdef __CUDACC__
#define RESIDUA_SHARED(Type, name, count) __shared__ __align__(16) Type name[count]
#else
#define RESIDUA_SHARED(Type, name, count) \
  static const char name##_place = 0;     \
  Type* const name = ::residua::host_cuda::shared_memory<Type>(&name##_place, count)
#endif

namespace residua::cuda {

/// The dynamic shared memory of a block: the launch's shared_bytes. Uninitialized too.
template <class T>
__device__ inline T* dynamic_shared() {
#ifdef __CUDACC__
  extern __shared__ __align__(16) unsigned char dynamic_shared_memory[];
  return reinterpret_cast<T*>(dynamic_shared_memory);
#else
  return static_cast<T*>(host_cuda::dynamic_shared_memory());
#endif
}

/// Waits for all threads of the block. Afterwards every thread sees what the others wrote before.
__device__ inline void block_barrier() { __syncthreads(); }

/// Returns the sum over the block to every thread. All threads must call it. The order of addition is fixed.
template <class T>
__device__ inline T block_sum(T value) {
  RESIDUA_SHARED(T, partial, kWarp);
  value = warp_sum(value);
  block_barrier();  // the partial sums of the previous call have been read
  if (lane() == 0) {
    partial[warp()] = value;
  }
  block_barrier();
  return warp_sum(lane() < warps() ? partial[lane()] : T{});
}

}  // namespace residua::cuda
