#pragma once

#include "core/kernels/pooling.h"
#include "cuda/device/unflatten.cuh"

namespace residua::cuda {

/// PoolShape in the integer types that kernels compute with.
struct Pooling {
  int in_height, in_width, out_height, out_width, window, stride, padding;
  int64_t channels;

  explicit Pooling(const PoolShape& s)
      : in_height(static_cast<int>(s.in_height)),
        in_width(static_cast<int>(s.in_width)),
        out_height(static_cast<int>(s.out_height())),
        out_width(static_cast<int>(s.out_width())),
        window(static_cast<int>(s.window)),
        stride(static_cast<int>(s.stride)),
        padding(static_cast<int>(s.padding)),
        channels(s.channels) {}
};

__device__ inline int clamped(int value, int size) {
  const int low = value < size - 1 ? value : size - 1;
  return low < 0 ? 0 : low;
}

/// The window position to report for position `i` of a window that starts at pixel `first` of one dimension. Kernels read all
/// positions of a window without branches: a position in the padding reads the nearest pixel of the image, which is also in the
/// window. Before the image, such a position reports that pixel's position. Behind the image, the pixel has already been
/// compared. So a position in the padding never wins itself.
template <int Window>
__device__ inline int name_of(int i, int first) {
  return i < Window / 2 && i < -first ? -first : i;
}

/// The input pixels of one dimension in the window of output pixel `out`: `count` pixels from `begin` on. `lead` pixels of
/// padding come before them.
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
};

/// The output pixels [begin, end) of one dimension whose windows contain input pixel `in`.
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
