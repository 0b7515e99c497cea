// Forward: a thread makes a pack of 16 bytes of y at a time, grid-stride. Backward: each pixel of dx gathers from the windows
// that it lies in, so that nothing is added in memory and the order of a sum is fixed; for the networks' window of 3 and stride
// of 2 a thread makes 2 x 2 pixels, which lie in the same four windows. Each byte crosses device memory once: windows overlap,
// but what they share is in the caches.
#include "cuda/device/vec.cuh"
#include "cuda/kernels/pool_window.cuh"

namespace residua::cuda {
namespace {

/// The largest value of a pack's channels so far, and its place in the window.
template <class T, int N>
struct Winner {
  float best[N];
  int place[N];

  __device__ explicit Winner(int first_place) {
#pragma unroll
    for (int j = 0; j < N; ++j) {
      best[j] = -HUGE_VALF;
      place[j] = first_place;
    }
  }

  __device__ void consider(const Pack<T, N>& pack, int here) {
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float value = widen(pack.v[j]);
      // True also where the value is NaN, unless one was there before.
      const bool wins = !(value <= best[j]) && best[j] == best[j];
      best[j] = wins ? value : best[j];
      place[j] = wins ? here : place[j];
    }
  }
};

/// Window is that of the shape, or 0: any.
template <class T, int N, int Window>
__global__ void max_pool_forward(MaxPoolForward args, Unflatten unflatten, int64_t packs) {
  const PoolShape& s = args.shape;
  const int window = static_cast<int>(s.window);
  const int64_t pitch = s.in_width * s.channels;
  for (int64_t i = global_thread(); i < packs; i += grid_threads()) {
    const auto at = unflatten(i);
    const PoolWindow high(at.row, s.in_height, s);
    const PoolWindow wide(at.column, s.in_width, s);
    const T* corner =
        static_cast<const T*>(args.x) + (at.image * s.in_height + high.begin) * pitch + wide.begin * s.channels + at.depth * N;
    const int first_place = high.lead * window + wide.lead;
    Winner<T, N> winner(first_place);
    if constexpr (Window > 0) {
      // A pixel in place of padding is in the window too, at the same place: it cannot win against itself.
      int64_t column[Window];
#pragma unroll
      for (int w = 0; w < Window; ++w) {
        column[w] = wide.nearest(w) * s.channels;
      }
      Pack<T, N> held[Window][Window];
#pragma unroll
      for (int h = 0; h < Window; ++h) {
        const T* line = corner + high.nearest(h) * pitch;
#pragma unroll
        for (int w = 0; w < Window; ++w) {
          held[h][w] = *reinterpret_cast<const Pack<T, N>*>(line + column[w]);
        }
      }
#pragma unroll
      for (int h = 0; h < Window; ++h) {
#pragma unroll
        for (int w = 0; w < Window; ++w) {
          winner.consider(held[h][w], first_place + high.nearest(h) * window + wide.nearest(w));
        }
      }
    } else {
      for (int h = 0; h < high.count; ++h) {
        for (int w = 0; w < wide.count; ++w) {
          winner.consider(*reinterpret_cast<const Pack<T, N>*>(corner + h * pitch + w * s.channels),
                          first_place + h * window + w);
        }
      }
    }
    store(static_cast<T*>(args.y) + i * N, winner.best);
    if (args.index != nullptr) {
      Pack<uint8_t, N> index;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        index.v[j] = static_cast<uint8_t>(winner.place[j]);
      }
      *reinterpret_cast<Pack<uint8_t, N>*>(args.index + i * N) = index;
    }
  }
}

struct OutSize {
  int64_t height, width;
};

/// The gradient of one pack of y, and where it goes.
template <class T, int N>
struct Routed {
  Pack<T, N> dy;
  Pack<uint8_t, N> index;

  __device__ static Routed at(const MaxPoolBackward& args, int64_t i) {
    return {*reinterpret_cast<const Pack<T, N>*>(static_cast<const T*>(args.dy) + i),
            *reinterpret_cast<const Pack<uint8_t, N>*>(args.index + i)};
  }

  __device__ void add_to(float (&total)[N], int place) const {
#pragma unroll
    for (int j = 0; j < N; ++j) {
      total[j] += index.v[j] == place ? widen(dy.v[j]) : 0;
    }
  }
};

template <class T, int N>
__global__ void max_pool_backward(MaxPoolBackward args, OutSize out, Unflatten unflatten, Divisor stride, int64_t packs) {
  const PoolShape& s = args.shape;
  for (int64_t i = global_thread(); i < packs; i += grid_threads()) {
    const auto at = unflatten(i);
    const PoolCover high(at.row, out.height, s, stride);
    const PoolCover wide(at.column, out.width, s, stride);
    float total[N] = {};
    for (int64_t p = high.begin; p < high.end; ++p) {
      for (int64_t q = wide.begin; q < wide.end; ++q) {
        const int64_t from = ((at.image * out.height + p) * out.width + q) * s.channels + at.depth * N;
        const int64_t place = (at.row + s.padding - p * s.stride) * s.window + (at.column + s.padding - q * s.stride);
        Routed<T, N>::at(args, from).add_to(total, static_cast<int>(place));
      }
    }
    store(static_cast<T*>(args.dx) + i * N, total);
  }
}

/// Cell (P, Q) of an image has the pixels (h, w) with h + padding in {2 P, 2 P + 1} and w + padding in {2 Q, 2 Q + 1}. They lie
/// in the windows of the output pixels P - 1, P and Q - 1, Q alone.
template <class T, int N>
__global__ void max_pool_backward_3_2(MaxPoolBackward args, OutSize out, Unflatten unflatten, int64_t items) {
  constexpr int kWindow = 3;
  constexpr int kStride = 2;
  constexpr uint8_t kNowhere = 0xff;
  const PoolShape& s = args.shape;
  for (int64_t i = global_thread(); i < items; i += grid_threads()) {
    const auto cell = unflatten(i);
    const int64_t from = ((cell.image * out.height + cell.row) * out.width + cell.column) * s.channels + cell.depth * N;
    Routed<T, N> routed[2][2];
#pragma unroll
    for (int k = 0; k < 2; ++k) {
#pragma unroll
      for (int l = 0; l < 2; ++l) {
        const int64_t p = cell.row - k;
        const int64_t q = cell.column - l;
        if (p >= 0 && p < out.height && q >= 0 && q < out.width) {
          routed[k][l] = Routed<T, N>::at(args, from - (k * out.width + l) * s.channels);
        } else {
#pragma unroll
          for (int j = 0; j < N; ++j) {
            routed[k][l].dy.v[j] = {};
            routed[k][l].index.v[j] = kNowhere;
          }
        }
      }
    }
#pragma unroll
    for (int a = 0; a < kStride; ++a) {
#pragma unroll
      for (int b = 0; b < kStride; ++b) {
        const int64_t h = cell.row * kStride + a - s.padding;
        const int64_t w = cell.column * kStride + b - s.padding;
        float total[N] = {};
#pragma unroll
        for (int k = 0; a + kStride * k < kWindow; ++k) {
#pragma unroll
          for (int l = 0; b + kStride * l < kWindow; ++l) {
            routed[k][l].add_to(total, (a + kStride * k) * kWindow + b + kStride * l);
          }
        }
        if (h >= 0 && h < s.in_height && w >= 0 && w < s.in_width) {
          const int64_t to = ((cell.image * s.in_height + h) * s.in_width + w) * s.channels + cell.depth * N;
          store(static_cast<T*>(args.dx) + to, total);
        }
      }
    }
  }
}

template <class T>
bool packs_fit(const PoolShape& s, const void* x, const void* y, const uint8_t* index) {
  return s.channels % kVec<T> == 0 && aligned_to(16, static_cast<const T*>(x), static_cast<const T*>(y)) &&
         aligned_to(kVec<T>, index);
}

}  // namespace

void run(const MaxPoolForward& args, Stream& stream) {
  const PoolShape& s = args.shape;
  visit_float(args.dtype, [&]<class T>() {
    visit_pack<T>(packs_fit<T>(s, args.x, args.y, args.index), [&]<int N>(Elements<N>) {
      const int64_t packs = s.batch * s.out_height() * s.out_width() * s.channels / N;
      launch(stream, grid_for(stream, packs), s.window == 3 ? max_pool_forward<T, N, 3> : max_pool_forward<T, N, 0>, args,
             Unflatten(s.out_height(), s.out_width(), s.channels / N), packs);
    });
  });
}

void run(const MaxPoolBackward& args, Stream& stream) {
  const PoolShape& s = args.shape;
  const OutSize out{s.out_height(), s.out_width()};
  visit_float(args.dtype, [&]<class T>() {
    visit_pack<T>(packs_fit<T>(s, args.dx, args.dy, args.index), [&]<int N>(Elements<N>) {
      if (s.window == 3 && s.stride == 2) {
        const int64_t rows = (s.in_height + s.padding + 1) / 2;
        const int64_t columns = (s.in_width + s.padding + 1) / 2;
        const int64_t items = s.batch * rows * columns * s.channels / N;
        launch(stream, grid_for(stream, items), max_pool_backward_3_2<T, N>, args, out,
               Unflatten(rows, columns, s.channels / N), items);
        return;
      }
      const int64_t packs = s.batch * s.in_height * s.in_width * s.channels / N;
      launch(stream, grid_for(stream, packs), max_pool_backward<T, N>, args, out,
             Unflatten(s.in_height, s.in_width, s.channels / N), Divisor(s.stride), packs);
    });
  });
}

}  // namespace residua::cuda
