// The parameter-free shortcut. Each byte crosses device memory once; with `stride`, only the pixels of x that are used are
// read.
#include "core/kernels/zero_pad_shortcut.h"

#include "cuda/device/unflatten.cuh"
#include "cuda/device/vec.cuh"

namespace residua::cuda {
namespace {

/// ZeroPadShortcutShape for stride 2, in the integer type that its kernels compute with.
struct Halving {
  int in_height, in_width, in_channels, out_height, out_width, out_channels, first_channel;

  explicit Halving(const ZeroPadShortcutShape& s)
      : in_height(static_cast<int>(s.in_height)),
        in_width(static_cast<int>(s.in_width)),
        in_channels(static_cast<int>(s.in_channels)),
        out_height(static_cast<int>(s.out_height())),
        out_width(static_cast<int>(s.out_width())),
        out_channels(static_cast<int>(s.out_channels)),
        first_channel(static_cast<int>(s.first_channel())) {}

  /// For tensors of fewer than 2^30 elements, so that the index of the first pixel past the end is still valid.
  static bool takes(const ZeroPadShortcutShape& s) {
    const int64_t x_size = s.batch * s.in_height * s.in_width * s.in_channels;
    const int64_t y_size = s.batch * s.out_height() * s.out_width() * s.out_channels;
    return s.stride == 2 && std::max(x_size, y_size) < int64_t{1} << 30;
  }

  /// The index of output pixel `at`'s first element in y or dy, and of its first input pixel in x or dx.
  __device__ int out(const Unflatten::PlaceIn<int>& at) const {
    return ((at.image * out_height + at.row) * out_width + at.column) * out_channels;
  }
  __device__ int in(const Unflatten::PlaceIn<int>& at) const {
    return ((at.image * in_height + 2 * at.row) * in_width + 2 * at.column) * in_channels;
  }
  /// Whether the window of output pixel `at` has a second row or column of input pixels.
  __device__ bool two_rows(const Unflatten::PlaceIn<int>& at) const { return 2 * at.row + 1 < in_height; }
  __device__ bool two_columns(const Unflatten::PlaceIn<int>& at) const { return 2 * at.column + 1 < in_width; }
};

/// 1 / (number of pixels in a window).
__device__ inline float share_of(bool two_rows, bool two_columns) {
  return (two_rows ? 0.5f : 1.0f) * (two_columns ? 0.5f : 1.0f);
}

template <class T, int N>
__device__ inline void store_pack(T* p, const Pack<T, N>& pack) {
  *reinterpret_cast<Pack<T, N>*>(p) = pack;
}

/// Packs that a thread of halve_forward processes at once.
template <ShortcutPool Pool>
constexpr int kAtOnce = Pool == ShortcutPool::average ? 1 : 2;

/// `packs` is the number of packs in the old channels of y.
template <class T, int N, ShortcutPool Pool>
__global__ void halve_forward(ZeroPadShortcutForward args, Halving s, Unflatten unflatten, int packs) {
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
        const float share = share_of(s.two_rows(place[u]), s.two_columns(place[u]));
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
#pragma unroll
        for (int j = 0; j < N; ++j) {
          total[j] *= share;
        }
        store(to, total);
      }
    }
  }
}

/// `packs` is the number of packs in the old channels of dy.
template <class T, int N, ShortcutPool Pool>
__global__ void halve_backward(ZeroPadShortcutBackward args, Halving s, Unflatten unflatten, int packs) {
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
      const float share = share_of(two_rows, two_columns);
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

/// The input pixels [begin, end) of one dimension that output pixel `out` is computed from.
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

/// Calls f with the pool as a std::integral_constant.
template <class F>
void visit_pool(ShortcutPool pool, const F& f) {
  if (pool == ShortcutPool::average) {
    f(std::integral_constant<ShortcutPool, ShortcutPool::average>{});
  } else {
    f(std::integral_constant<ShortcutPool, ShortcutPool::stride>{});
  }
}

}  // namespace

void run(const ZeroPadShortcutForward& args, Stream& stream) {
  const ZeroPadShortcutShape& s = args.shape;
  visit_float(args.dtype, [&]<class T>() {
    const bool packed = packs_fit<T>(s, args.x, args.y);
    if (packed && Halving::takes(s)) {
      const int64_t packs = s.batch * s.out_height() * s.out_width() * s.in_channels / kVec<T>;
      visit_pool(s.pool, [&](auto pool) {
        launch(stream, grid_for(stream, (packs + kAtOnce<pool()> - 1) / kAtOnce<pool()>), halve_forward<T, kVec<T>, pool()>,
               args, Halving(s), Unflatten(s.out_height(), s.out_width(), s.in_channels / kVec<T>), static_cast<int>(packs));
      });
      return;
    }
    visit_pack<T>(packed, [&]<int N>(Elements<N>) {
      const int64_t packs = s.batch * s.out_height() * s.out_width() * s.out_channels / N;
      launch(stream, grid_for(stream, packs), zero_pad_shortcut_forward<T, N>, args,
             Unflatten(s.out_height(), s.out_width(), s.out_channels / N), packs);
    });
  });
}

void run(const ZeroPadShortcutBackward& args, Stream& stream) {
  const ZeroPadShortcutShape& s = args.shape;
  visit_float(args.dtype, [&]<class T>() {
    const bool packed = packs_fit<T>(s, args.dx, args.dy);
    if (packed && Halving::takes(s)) {
      const int64_t packs = s.batch * s.out_height() * s.out_width() * s.in_channels / kVec<T>;
      visit_pool(s.pool, [&](auto pool) {
        launch(stream, grid_for(stream, packs), halve_backward<T, kVec<T>, pool()>, args, Halving(s),
               Unflatten(s.out_height(), s.out_width(), s.in_channels / kVec<T>), static_cast<int>(packs));
      });
      return;
    }
    visit_pack<T>(packed, [&]<int N>(Elements<N>) {
      const int64_t packs = s.batch * s.in_height * s.in_width * s.in_channels / N;
      launch(stream, grid_for(stream, packs), zero_pad_shortcut_backward<T, N>, args,
             Unflatten(s.in_height, s.in_width, s.in_channels / N), Divisor(s.stride), packs);
    });
  });
}

}  // namespace residua::cuda
