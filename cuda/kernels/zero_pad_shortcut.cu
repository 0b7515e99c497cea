// The parameter-free shortcut. A thread makes a pack of 16 bytes of the output at a time, grid-stride; where a channel count
// is no multiple of a pack, one element. Each byte crosses memory once; of x, `stride` reads only the pixels it takes.
#include "core/kernels/zero_pad_shortcut.h"

#include "cuda/device/unflatten.cuh"
#include "cuda/device/vec.cuh"

namespace residua::cuda {
namespace {

/// The input pixels [begin, end) of one dimension that output pixel `out` is made of.
struct Window {
  int64_t begin, end;
  __device__ Window(int64_t out, int64_t in_size, const ZeroPadShortcutShape& s)
      : begin(out * s.stride), end(s.pool == ShortcutPool::stride ? begin + 1 : begin + s.stride) {
    end = end < in_size ? end : in_size;
  }
  __device__ int64_t size() const { return end - begin; }
};

__device__ inline float share_of(const Window& high, const Window& wide) {
  return 1 / static_cast<float>(high.size() * wide.size());
}

template <class T, int N>
__global__ void zero_pad_shortcut_forward(ZeroPadShortcutForward args, Unflatten unflatten, int64_t packs) {
  const ZeroPadShortcutShape& s = args.shape;
  const int64_t before = s.pad == ShortcutPad::both ? (s.out_channels - s.in_channels) / 2 : 0;
  for (int64_t i = global_thread(); i < packs; i += grid_threads()) {
    const auto [n, p, q, pack] = unflatten(i);
    const int64_t c = pack * N - before;
    float total[N] = {};
    if (c >= 0 && c < s.in_channels) {
      const Window high(p, s.in_height, s);
      const Window wide(q, s.in_width, s);
      const T* image = static_cast<const T*>(args.x) + n * s.in_height * s.in_width * s.in_channels + c;
      for (int64_t h = high.begin; h < high.end; ++h) {
        for (int64_t w = wide.begin; w < wide.end; ++w) {
          float v[N];
          load(image + (h * s.in_width + w) * s.in_channels, v);
#pragma unroll
          for (int j = 0; j < N; ++j) {
            total[j] += v[j];
          }
        }
      }
      const float share = share_of(high, wide);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        total[j] *= share;
      }
    }
    store(static_cast<T*>(args.y) + i * N, total);
  }
}

template <class T, int N>
__global__ void zero_pad_shortcut_backward(ZeroPadShortcutBackward args, Unflatten unflatten, Divisor stride, int64_t packs) {
  const ZeroPadShortcutShape& s = args.shape;
  const int64_t out_height = stride(s.in_height + s.stride - 1);
  const int64_t out_width = stride(s.in_width + s.stride - 1);
  const int64_t before = s.pad == ShortcutPad::both ? (s.out_channels - s.in_channels) / 2 : 0;
  for (int64_t i = global_thread(); i < packs; i += grid_threads()) {
    const auto [n, h, w, pack] = unflatten(i);
    const int64_t p = stride(h);
    const int64_t q = stride(w);
    const Window high(p, s.in_height, s);
    const Window wide(q, s.in_width, s);
    float v[N] = {};
    if (h < high.end && w < wide.end) {
      load(static_cast<const T*>(args.dy) + ((n * out_height + p) * out_width + q) * s.out_channels + before + pack * N, v);
      const float share = share_of(high, wide);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        v[j] *= share;
      }
    }
    store(static_cast<T*>(args.dx) + i * N, v);
  }
}

template <class T>
bool packs_fit(const ZeroPadShortcutShape& s, const void* x, const void* y) {
  return s.in_channels % kVec<T> == 0 && s.out_channels % kVec<T> == 0 && s.first_channel() % kVec<T> == 0 &&
         aligned_to(16, static_cast<const T*>(x), static_cast<const T*>(y));
}

}  // namespace

void run(const ZeroPadShortcutForward& args, Stream& stream) {
  const ZeroPadShortcutShape& s = args.shape;
  visit_float(args.dtype, [&]<class T>() {
    visit_pack<T>(packs_fit<T>(s, args.x, args.y), [&]<int N>(Elements<N>) {
      const int64_t packs = s.batch * s.out_height() * s.out_width() * s.out_channels / N;
      launch(stream, grid_for(stream, packs), zero_pad_shortcut_forward<T, N>, args,
             Unflatten(s.out_height(), s.out_width(), s.out_channels / N), packs);
    });
  });
}

void run(const ZeroPadShortcutBackward& args, Stream& stream) {
  const ZeroPadShortcutShape& s = args.shape;
  visit_float(args.dtype, [&]<class T>() {
    visit_pack<T>(packs_fit<T>(s, args.dx, args.dy), [&]<int N>(Elements<N>) {
      const int64_t packs = s.batch * s.in_height * s.in_width * s.in_channels / N;
      launch(stream, grid_for(stream, packs), zero_pad_shortcut_backward<T, N>, args,
             Unflatten(s.in_height, s.in_width, s.in_channels / N), Divisor(s.stride), packs);
    });
  });
}

}  // namespace residua::cuda
