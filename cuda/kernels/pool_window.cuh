#pragma once

#include "core/kernels/pooling.h"
#include "cuda/device/unflatten.cuh"

namespace residua::cuda {

/// PoolShape in the types that kernels count in.
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

/// A window of one dimension whose places are all read, those in the padding too: there stands the pixel next to it, which the
/// window has as well. Place `i`, of which the first is pixel `first`, has before the image the name of that pixel; behind the
/// image that pixel has been considered before. So nothing in the padding wins in a name of its own.
template <int Window>
__device__ inline int name_of(int i, int first) {
  return i < Window / 2 && i < -first ? -first : i;
}

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
