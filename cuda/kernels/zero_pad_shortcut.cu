// The parameter-free shortcut. Each byte crosses device memory once; with `stride`, only the pixels of x that are used are
// read. A thread takes a pack of the old channels of an output pixel.
#include "core/kernels/zero_pad_shortcut.h"

#include "cuda/device/unflatten.cuh"
#include "cuda/device/vec.cuh"

namespace residua::cuda {
namespace {

/// A launch processes images of fewer elements than this in all, so that the index of the first pixel past the end is still
/// valid.
#ifdef RESIDUA_HOST_CUDA
constexpr int64_t kMostElements = 1000;  // so that tests have several launches
#else
constexpr int64_t kMostElements = int64_t{1} << 30;
#endif

/// ZeroPadShortcutShape in the integer type that the kernels compute with.
template <int Stride>
struct Places {
  int in_height, in_width, in_channels, out_height, out_width, out_channels, first_channel;

  explicit Places(const ZeroPadShortcutShape& s)
      : in_height(static_cast<int>(s.in_height)),
        in_width(static_cast<int>(s.in_width)),
        in_channels(static_cast<int>(s.in_channels)),
        out_height(static_cast<int>(s.out_height())),
        out_width(static_cast<int>(s.out_width())),
        out_channels(static_cast<int>(s.out_channels)),
        first_channel(static_cast<int>(s.first_channel())) {}

  /// The index of output pixel `at`'s first element in y or dy, and of its first input pixel in x or dx.
  __device__ int out(const Unflatten::PlaceIn<int>& at) const {
    return ((at.image * out_height + at.row) * out_width + at.column) * out_channels;
  }
  __device__ int in(const Unflatten::PlaceIn<int>& at) const {
    return ((at.image * in_height + Stride * at.row) * in_width + Stride * at.column) * in_channels;
  }
  /// Whether the window of output pixel `at` has a second row or column of input pixels.
  __device__ bool two_rows(const Unflatten::PlaceIn<int>& at) const { return Stride == 2 && 2 * at.row + 1 < in_height; }
  __device__ bool two_columns(const Unflatten::PlaceIn<int>& at) const { return Stride == 2 && 2 * at.column + 1 < in_width; }
  /// 1 / (number of pixels in that window).
  __device__ float share(const Unflatten::PlaceIn<int>& at) const {
    return (two_rows(at) ? 0.5f : 1.0f) * (two_columns(at) ? 0.5f : 1.0f);
  }
};

template <class T, int N>
__device__ inline void store_pack(T* p, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(p) = pack;
}

/// Packs that a thread of forward_kernel processes at once.
template <ShortcutPool Pool>
constexpr int kAtOnce = Pool == ShortcutPool::average ? 1 : 2;

template <class T, int N, int Stride, ShortcutPool Pool>
__global__ void forward_kernel(ZeroPadShortcutForward args, Places<Stride> s, Unflatten unflatten, int packs) {
  constexpr int kPixels = Pool == ShortcutPool::average ? 4 : 1;
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  const int step = static_cast<int>(grid_threads());
  for (int first = static_cast<int>(global_thread()); first < packs; first += kAtOnce<Pool> * step) {
    Pack<T, N> held[kAtOnce<Pool>][kPixels];
    Unflatten::PlaceIn<int> place[kAtOnce<Pool>];
#pragma unroll
    for (int u = 0; u < kAtOnce<Pool>; ++u) {
      const int i = first + u * step;
      place[u] = unflatten.of_small(i < packs ? i : first);
      const T* from = x + (s.in(place[u]) + place[u].depth * N);
#pragma unroll
      for (int k = 0; k < kPixels; ++k) {
        const int line = k / 2 != 0 && s.two_rows(place[u]) ? s.in_width : 0;
        const int column = k % 2 != 0 && s.two_columns(place[u]) ? 1 : 0;
        held[u][k] = pack_at<N>(from + (line + column) * s.in_channels);
      }
    }
#pragma unroll
    for (int u = 0; u < kAtOnce<Pool>; ++u) {
      if (first + u * step >= packs) {
        continue;
      }
      const int pixel = s.out(place[u]);
      const int channel = place[u].depth * N;
      // This thread's share of the new channels: one pack out of every in_channels.
      for (int c = channel; c < s.out_channels - s.in_channels; c += s.in_channels) {
        store_pack(y + (pixel + c + (c < s.first_channel ? 0 : s.in_channels)), Pack<T, N>{});
      }
      T* to = y + (pixel + s.first_channel + channel);
      if constexpr (Pool == ShortcutPool::stride) {
        store_pack(to, held[u][0]);
      } else {
        float total[N] = {};
#pragma unroll
        for (int k = 0; k < kPixels; ++k) {
          if ((k / 2 == 0 || s.two_rows(place[u])) && (k % 2 == 0 || s.two_columns(place[u]))) {
            float v[N];
            widen(held[u][k], v);
#pragma unroll
            for (int j = 0; j < N; ++j) {
              total[j] += v[j];
            }
          }
        }
        const float share = s.share(place[u]);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          total[j] *= share;
        }
        store(to, total);
      }
    }
  }
}

template <class T, int N, int Stride, ShortcutPool Pool>
__global__ void backward_kernel(ZeroPadShortcutBackward args, Places<Stride> s, Unflatten unflatten, int packs) {
  const T* dy = static_cast<const T*>(args.dy);
  T* dx = static_cast<T*>(args.dx);
  for (int i = static_cast<int>(global_thread()); i < packs; i += static_cast<int>(grid_threads())) {
    const auto place = unflatten.of_small(i);
    const bool two_rows = s.two_rows(place);
    const bool two_columns = s.two_columns(place);
    const Pack<T, N> held = pack_at<N>(dy + (s.out(place) + s.first_channel + place.depth * N));
    float first[N];
    float others[N] = {};
    widen(held, first);
    if constexpr (Pool == ShortcutPool::average) {
      const float share = s.share(place);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        first[j] *= share;
        others[j] = first[j];
      }
    }
    T* to = dx + (s.in(place) + place.depth * N);
    store(to, first);
    if (two_columns) {
      store(to + s.in_channels, others);
    }
    if (two_rows) {
      to += s.in_width * s.in_channels;
      store(to, others);
      if (two_columns) {
        store(to + s.in_channels, others);
      }
    }
  }
}

/// Calls f(stride, pool) with both as constants. Windows of one pixel need no mean.
template <class F>
void visit_window(const ZeroPadShortcutShape& s, const F& f) {
  using Subsample = std::integral_constant<ShortcutPool, ShortcutPool::stride>;
  using Average = std::integral_constant<ShortcutPool, ShortcutPool::average>;
  if (s.stride == 1) {
    f(Elements<1>{}, Subsample{});
  } else if (s.pool == ShortcutPool::stride) {
    f(Elements<2>{}, Subsample{});
  } else {
    f(Elements<2>{}, Average{});
  }
}

/// Calls f(elements, first image, shape of some images, packs of the old channels in their output) until all images are done.
template <class T, class F>
void for_images(ZeroPadShortcutShape s, const void* x, const void* y, const F& f) {
  const bool packed = s.in_channels % kVec<T> == 0 && s.out_channels % kVec<T> == 0 && s.first_channel() % kVec<T> == 0 &&
                      aligned_to(16, static_cast<const T*>(x), static_cast<const T*>(y));
  const int64_t pixels = s.out_height() * s.out_width();
  const int64_t largest = std::max(s.in_height * s.in_width * s.in_channels, pixels * s.out_channels);
  const int64_t most = std::max<int64_t>(1, (kMostElements - 1) / largest);
  const int64_t images = s.batch;
  for (int64_t first = 0; first < images; first += most) {
    s.batch = std::min(most, images - first);
    visit_pack<T>(packed, [&]<int N>(Elements<N> n) { f(n, first, s, s.batch * pixels * s.in_channels / N); });
  }
}

}  // namespace

void run(const ZeroPadShortcutForward& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    for_images<T>(args.shape, args.x, args.y,
                  [&]<int N>(Elements<N>, int64_t first, const ZeroPadShortcutShape& s, int64_t packs) {
                    const ZeroPadShortcutForward part{
                        .dtype = args.dtype,
                        .shape = s,
                        .x = static_cast<const T*>(args.x) + first * s.in_height * s.in_width * s.in_channels,
                        .y = static_cast<T*>(args.y) + first * s.out_height() * s.out_width() * s.out_channels};
                    visit_window(s, [&]<int Stride>(Elements<Stride>, auto pool) {
                      launch(stream, grid_for(stream, (packs + kAtOnce<pool()> - 1) / kAtOnce<pool()>),
                             forward_kernel<T, N, Stride, pool()>, part, Places<Stride>(s),
                             Unflatten(s.out_height(), s.out_width(), s.in_channels / N), static_cast<int>(packs));
                    });
                  });
  });
}

void run(const ZeroPadShortcutBackward& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    for_images<T>(args.shape, args.dx, args.dy,
                  [&]<int N>(Elements<N>, int64_t first, const ZeroPadShortcutShape& s, int64_t packs) {
                    const ZeroPadShortcutBackward part{
                        .dtype = args.dtype,
                        .shape = s,
                        .dy = static_cast<const T*>(args.dy) + first * s.out_height() * s.out_width() * s.out_channels,
                        .dx = static_cast<T*>(args.dx) + first * s.in_height * s.in_width * s.in_channels};
                    visit_window(s, [&]<int Stride>(Elements<Stride>, auto pool) {
                      launch(stream, grid_for(stream, packs), backward_kernel<T, N, Stride, pool()>, part, Places<Stride>(s),
                             Unflatten(s.out_height(), s.out_width(), s.in_channels / N), static_cast<int>(packs));
                    });
                  });
  });
}

}  // namespace residua::cuda
