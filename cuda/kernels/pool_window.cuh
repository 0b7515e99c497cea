#pragma once

#include "core/kernels/pooling.h"
#include "cuda/device/unflatten.cuh"

namespace residua::cuda {

/// The `count` input pixels of one dimension, from `begin` on, in the window of output pixel `out`. Before them it has `lead`
/// pixels of padding.
struct PoolWindow {
  int64_t begin;
  int lead, count;

  __device__ PoolWindow(int64_t out, int64_t in_size, const PoolShape& s) {
    const int64_t first = out * s.stride - s.padding;
    const int64_t end = first + s.window < in_size ? first + s.window : in_size;
    begin = first < 0 ? 0 : first;
    lead = static_cast<int>(begin - first);
    count = static_cast<int>(end - begin);
  }
  /// Which of the pixels stands at place `i` of the window or, where that is padding, is the nearest.
  __device__ int nearest(int i) const {
    const int pixel = i < lead ? 0 : i - lead;
    return pixel < count ? pixel : count - 1;
  }
};

/// The output pixels [begin, end) of one dimension in whose windows input pixel `in` lies.
struct PoolCover {
  int64_t begin, end;
  __device__ PoolCover(int64_t in, int64_t out_size, const PoolShape& s, const Divisor& stride) {
    const int64_t reach = in + s.padding;
    const int64_t last = stride(reach);
    begin = reach < s.window ? 0 : stride(reach - s.window) + 1;
    end = last + 1 < out_size ? last + 1 : out_size;
  }
};

}  // namespace residua::cuda
