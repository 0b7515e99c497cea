#pragma once

#include "cuda/device/launch.cuh"

namespace residua::cuda {

/// The larger of the two; NaN if one of them is NaN.
__device__ inline float maximum(float a, float b) {
#ifdef __CUDACC__
  float c;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(c) : "f"(a), "f"(b));
  return c;
#else
  return a > b || a != a ? a : b;
#endif
}

}  // namespace residua::cuda
