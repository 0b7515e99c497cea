// Max pooling. Each byte crosses device memory once: windows overlap, but the caches hold what they share.
//
// Forward: grid-stride; a thread computes a 16-byte pack of y at a time. With the networks' window of 3, it issues all loads of
// the window before the first use.
//
// Backward: each pixel of dx gathers from the windows that contain it, so nothing is added in memory and the order of the sum
// is fixed. With the networks' window of 3 and stride of 2, a thread computes 2 x 2 pixels, which lie in the same four windows.
#include "cuda/device/arch/maximum.cuh"
#include "cuda/device/vec.cuh"
#include "cuda/kernels/pool_window.cuh"

namespace residua::cuda {
namespace {

// The kernels for window 3 need up to 85 registers.
constexpr int kThreads = 256;
constexpr int kBlocks = 3;

/// The largest value of each channel of a pack, and its position in the window.
template <int N>
struct Winner {
  float best[N];
  int place[N];
};

template <class T, int N>
__device__ void store_winner(const MaxPoolForward& args, int64_t to, const Winner<N>& winner) {
  store(static_cast<T*>(args.y) + to, winner.best);
  if (args.index != nullptr) {
    store_bytes(args.index + to, winner.place);
  }
}

/// The winner of output pixel (row, column). Compares the pixels one by one, in order.
template <class T, int N>
__device__ Winner<N> winner_of(const T* x, const PoolShape& s, int64_t image, int64_t row, int64_t column, int64_t channel) {
  const PoolWindow high(row, s.in_height, s);
  const PoolWindow wide(column, s.in_width, s);
  const T* corner = x + ((image * s.in_height + high.begin) * s.in_width + wide.begin) * s.channels + channel;
  const int window = static_cast<int>(s.window);
  Winner<N> winner;
#pragma unroll
  for (int j = 0; j < N; ++j) {
    winner.best[j] = -HUGE_VALF;
    winner.place[j] = high.lead * window + wide.lead;
  }
  for (int h = 0; h < high.count; ++h) {
    for (int w = 0; w < wide.count; ++w) {
      float v[N];
      load(corner + (h * s.in_width + w) * s.channels, v);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        // Also true if the value is NaN, unless a NaN came before.
        const bool wins = !(v[j] <= winner.best[j]) && winner.best[j] == winner.best[j];
        winner.best[j] = wins ? v[j] : winner.best[j];
        winner.place[j] = wins ? (high.lead + h) * window + wide.lead + w : winner.place[j];
      }
    }
  }
  return winner;
}

template <class T, int N>
__global__ void max_pool_forward(MaxPoolForward args, Unflatten unflatten, int64_t packs) {
  for (int64_t i = global_thread(); i < packs; i += grid_threads()) {
    const auto at = unflatten(i);
    const auto winner = winner_of<T, N>(static_cast<const T*>(args.x), args.shape, at.image, at.row, at.column, at.depth * N);
    store_winner<T>(args, i * N, winner);
  }
}

/// For window 3 and tensors of fewer than 2^30 elements.
template <class T, int N>
__global__ void __launch_bounds__(kThreads, kBlocks)
    max_pool_forward_3(MaxPoolForward args, Pooling s, Unflatten unflatten, int packs) {
  constexpr int kWindow = 3;
  constexpr int kPart = N % 2 == 0 ? 2 : 1;  // channels that are widened together
  const T* x = static_cast<const T*>(args.x);
  const int channels = static_cast<int>(s.channels);
  for (int i = static_cast<int>(global_thread()); i < packs; i += static_cast<int>(grid_threads())) {
    const auto at = unflatten.of_small(i);
    const int top = at.row * s.stride - s.padding;
    const int left = at.column * s.stride - s.padding;
    int line[kWindow];
    int column[kWindow];
#pragma unroll
    for (int k = 0; k < kWindow; ++k) {
      line[k] = (at.image * s.in_height + clamped(top + k, s.in_height)) * s.in_width * channels;
      column[k] = clamped(left + k, s.in_width) * channels + at.depth * N;
    }
    Pack<T, N> held[kWindow * kWindow];
#pragma unroll
    for (int k = 0; k < kWindow * kWindow; ++k) {
      held[k] = pack_at<N>(x + (line[k / kWindow] + column[k % kWindow]));
    }
    Winner<N> winner;
    float largest = -HUGE_VALF;
#pragma unroll
    for (int first = 0; first < N; first += kPart) {
#pragma unroll
      for (int k = 0; k < kWindow * kWindow; ++k) {
        const int here = name_of<kWindow>(k / kWindow, top) * kWindow + name_of<kWindow>(k % kWindow, left);
        Pack<T, kPart> part;
        memcpy(&part, held[k].v + first, sizeof part);
        float v[kPart];
        widen(part, v);
#pragma unroll
        for (int j = 0; j < kPart; ++j) {
          float& best = winner.best[first + j];
          int& place = winner.place[first + j];
          place = k == 0 || v[j] > best ? here : place;
          best = k == 0 ? v[j] : maximum(best, v[j]);
        }
      }
#pragma unroll
      for (int j = 0; j < kPart; ++j) {
        largest = maximum(largest, winner.best[first + j]);
      }
    }
    if (largest != largest) {  // for a NaN the fast path finds no position
      winner = winner_of<T, N>(x, args.shape, at.image, at.row, at.column, int64_t{at.depth} * N);
    }
    store_winner<T>(args, int64_t{i} * N, winner);
  }
}

struct OutSize {
  int64_t height, width;
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
        const auto dy = pack_at<N>(static_cast<const T*>(args.dy) + from);
        const auto index = pack_at<N>(args.index + from);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          total[j] += index.v[j] == static_cast<int>(place) ? widen(dy.v[j]) : 0;
        }
      }
    }
    store(static_cast<T*>(args.dx) + i * N, total);
  }
}

/// For window 3, stride 2 and tensors of fewer than 2^30 elements. Cell (P, Q) of an image has the pixels (h, w) with h +
/// padding in {2 P, 2 P + 1} and w + padding in {2 Q, 2 Q + 1}. These lie only in the windows of the output pixels (P - 1 or P,
/// Q - 1 or Q).
template <class T, int N>
__global__ void __launch_bounds__(kThreads, kBlocks)
    max_pool_backward_3_2(MaxPoolBackward args, Pooling s, Unflatten unflatten, int items) {
  constexpr int kWindow = 3;
  constexpr int kStride = 2;
  constexpr int kPixels = kStride * kStride;
  constexpr int kNowhere = 0xff;
  const T* dy = static_cast<const T*>(args.dy);
  T* dx = static_cast<T*>(args.dx);
  const int channels = static_cast<int>(s.channels);
  for (int i = static_cast<int>(global_thread()); i < items; i += static_cast<int>(grid_threads())) {
    const auto cell = unflatten.of_small(i);
    const int channel = cell.depth * N;
    Pack<T, N> gradients[kPixels];
    Pack<uint8_t, N> places[kPixels];
    bool exists[kPixels];
#pragma unroll
    for (int from = 0; from < kPixels; ++from) {
      const int p = cell.row - from / kStride;
      const int q = cell.column - from % kStride;
      exists[from] = p >= 0 && p < s.out_height && q >= 0 && q < s.out_width;
      const int at = exists[from] ? ((cell.image * s.out_height + p) * s.out_width + q) * channels + channel : channel;
      gradients[from] = pack_at<N>(dy + at);
      places[from] = pack_at<N>(args.index + at);
    }
    // One window at a time, so that each is unpacked once and its registers are then free.
    float total[kPixels][N] = {};
#pragma unroll
    for (int from = 0; from < kPixels; ++from) {
      float g[N];
      int place[N];
      widen(gradients[from], g);
      widen_bytes(places[from], place);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        place[j] = exists[from] ? place[j] : kNowhere;
#pragma unroll
        for (int to = 0; to < kPixels; ++to) {
          const int line = to / kStride + from / kStride * kStride;
          const int column = to % kStride + from % kStride * kStride;
          if (line < kWindow && column < kWindow && place[j] == line * kWindow + column) {
            total[to][j] += g[j];
          }
        }
      }
    }
    const int top = cell.row * kStride - s.padding;
    const int left = cell.column * kStride - s.padding;
    const int corner = ((cell.image * s.in_height + top) * s.in_width + left) * channels + channel;
#pragma unroll
    for (int to = 0; to < kPixels; ++to) {
      const int h = top + to / kStride;
      const int w = left + to % kStride;
      if (h >= 0 && h < s.in_height && w >= 0 && w < s.in_width) {
        store(dx + (corner + (to / kStride * s.in_width + to % kStride) * channels), total[to]);
      }
    }
  }
}

/// Whether x and y have fewer than 2^30 elements. The limit leaves room for the pixels of a cell or window that lie in the
/// padding.
bool counted_in_32_bits(const PoolShape& s) {
  constexpr int64_t kLimit = int64_t{1} << 30;
  return s.batch * s.in_height * s.in_width * s.channels < kLimit &&
         s.batch * s.out_height() * s.out_width() * s.channels < kLimit;
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
      const Unflatten unflatten(s.out_height(), s.out_width(), s.channels / N);
      if (s.window == 3 && counted_in_32_bits(s)) {
        launch(stream, grid_for(stream, packs, kThreads, kThreads), max_pool_forward_3<T, N>, args, Pooling(s), unflatten,
               static_cast<int>(packs));
        return;
      }
      launch(stream, grid_for(stream, packs), max_pool_forward<T, N>, args, unflatten, packs);
    });
  });
}

void run(const MaxPoolBackward& args, Stream& stream) {
  const PoolShape& s = args.shape;
  visit_float(args.dtype, [&]<class T>() {
    visit_pack<T>(packs_fit<T>(s, args.dx, args.dy, args.index), [&]<int N>(Elements<N>) {
      if (s.window == 3 && s.stride == 2 && counted_in_32_bits(s)) {
        const int64_t rows = (s.in_height + s.padding + 1) / 2;
        const int64_t columns = (s.in_width + s.padding + 1) / 2;
        const int64_t items = s.batch * rows * columns * s.channels / N;
        launch(stream, grid_for(stream, items, kThreads, kThreads), max_pool_backward_3_2<T, N>, args, Pooling(s),
               Unflatten(rows, columns, s.channels / N), static_cast<int>(items));
        return;
      }
      const int64_t packs = s.batch * s.in_height * s.in_width * s.channels / N;
      launch(stream, grid_for(stream, packs), max_pool_backward<T, N>, args, OutSize{s.out_height(), s.out_width()},
             Unflatten(s.in_height, s.in_width, s.channels / N), Divisor(s.stride), packs);
    });
  });
}

}  // namespace residua::cuda
