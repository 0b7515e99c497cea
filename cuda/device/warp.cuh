#pragma once

#include "cuda/device/launch.cuh"

namespace residua::cuda {

// Warp collectives: all 32 threads of a warp must call them together.

inline constexpr int kWarp = 32;
inline constexpr unsigned kFullWarp = 0xffffffffu;

__device__ inline int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ inline int warp() { return static_cast<int>(threadIdx.x) / kWarp; }
__device__ inline int warps() { return static_cast<int>(blockDim.x) / kWarp; }

/// The value of the lane whose number differs in exactly the bits of `bits`.
template <class T>
__device__ inline T shuffle_xor(T value, int bits) {
  return __shfl_xor_sync(kFullWarp, value, bits);
}

/// The value of lane `source`.
template <class T>
__device__ inline T shuffle(T value, int source) {
  return __shfl_sync(kFullWarp, value, source);
}

/// Returns the sum of `value` over all lanes with the same lane number modulo `stride`, which is a power of two; by default
/// over all lanes. Every lane adds in the same order.
template <class T>
__device__ inline T warp_sum(T value, int stride = 1) {
  for (int bits = kWarp / 2; bits >= stride; bits /= 2) {
    value += shuffle_xor(value, bits);
  }
  return value;
}

/// The largest value over the warp; NaN if any value is NaN.
__device__ inline float warp_max(float value) {
  for (int bits = kWarp / 2; bits > 0; bits /= 2) {
    const float other = shuffle_xor(value, bits);
    value = other > value || other != other ? other : value;
  }
  return value;
}

/// Bit i is set if lane i's condition is true.
__device__ inline unsigned ballot(bool condition) { return __ballot_sync(kFullWarp, condition ? 1 : 0); }

}  // namespace residua::cuda
