#pragma once

#include "core/kernels/pooling.h"
#include "cuda/device/unflatten.cuh"

namespace residua::cuda {

/// The input pixels [begin, end) of one dimension in the window of output pixel `out`; the window itself, padding included,
/// starts at `first`.
struct PoolWindow {
  int64_t first, begin, end;
  __device__ PoolWindow(int64_t out, int64_t in_size, const PoolShape& s) : first(out * s.stride - s.padding) {
    begin = first < 0 ? 0 : first;
    end = first + s.window < in_size ? first + s.window : in_size;
  }
  /// The pixel at place `i` of the window, or the nearest one that is not padding.
  __device__ int64_t nearest(int64_t i) const {
    const int64_t pixel = first + i < begin ? begin : first + i;
    return pixel < end ? pixel : end - 1;
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
