// Batch normalization, ReLU and 3 x 3 max pooling with stride 2 in one kernel. A thread processes 16 bytes of adjacent channels
// in forward and 8 bytes in backward. Its channels' parameters stay in its registers (cuda/device/columns.cuh).
//
// Forward: one output at a time. All loads of its window are issued before the first use; the caches reduce them to one read of
// x from memory. y and the index are written once.
//
// Backward: one tile of 2 x 2 pixels at a time. Tiles are aligned to the padded image, so the pixels of every tile have the
// same nine positions in the same four windows. The windows are loaded once for the tile; up to three neighbors load them too,
// from the caches. x, dy and the index are read once from memory, and dx is written once. The sums need only y and dy, unless a
// channel's gamma or beta is beyond the limits of core/kernels/batch_norm_relu_max_pool.h.
//
// Groups of images are processed one after the other, each by launches of its own.
#include "core/kernels/batch_norm_groups.h"
#include "core/kernels/batch_norm_relu_max_pool.h"
#include "cuda/device/arch/maximum.cuh"
#include "cuda/device/batch_norm.cuh"
#include "cuda/device/columns.cuh"
#include "cuda/kernels/pool_window.cuh"

namespace residua::cuda {
namespace {

constexpr int kWindow = static_cast<int>(kFusedPoolWindow);
constexpr int kStride = static_cast<int>(kFusedPoolStride);
constexpr int kPixels = kStride * kStride;  // of a tile

// A window or a tile needs up to 85 registers.
constexpr int kThreads = 256;
constexpr int kBlocks = 3;

template <class T>
constexpr int kChannels = 8 / static_cast<int>(sizeof(T));  // per thread in backward: 8 bytes

/// The indices of up to four channels, as the bytes of one register.
template <int N>
struct Winners {
  uint32_t bytes;
  __device__ bool are(int j, int place) const { return (bytes >> 8 * j & 0xff) == static_cast<uint32_t>(place); }
};
template <int N>
__device__ Winners<N> load_winners(const uint8_t* p) {
  using Word = std::conditional_t<N == 4, uint32_t, uint16_t>;
  return {*reinterpret_cast<const Word*>(p)};
}

/// The outputs or tiles [batch, height, width] as the rows of a grid. Threads step through them without a division.
struct Area {
  int images, height, width;
  int step_images;  // row_step() split into images, lines and columns
  int step_lines, step_columns;

  Area(const ColumnGrid& grid, int64_t height_pixels, int64_t width_pixels)
      : images(static_cast<int>(grid.rows / (height_pixels * width_pixels))),
        height(static_cast<int>(height_pixels)),
        width(static_cast<int>(width_pixels)) {
    const int64_t area = height_pixels * width_pixels;
    step_images = static_cast<int>(grid.row_step() / area);
    step_lines = static_cast<int>(grid.row_step() % area / width);
    step_columns = static_cast<int>(grid.row_step() % width);
  }
};

struct AreaPlace {
  int image, line, column;

  __device__ AreaPlace(const Area& area, int64_t row) {
    const int64_t pixels = int64_t{area.height} * area.width;
    image = static_cast<int>(row / pixels);
    const int rest = static_cast<int>(row - image * pixels);
    line = rest / area.width;
    column = rest - line * area.width;
  }
  __device__ void advance(const Area& area) {
    column += area.step_columns;
    const int carry = column >= area.width ? 1 : 0;
    column -= carry * area.width;
    line += area.step_lines + carry;
    const int next = line >= area.height ? 1 : 0;
    line -= next * area.height;
    image += area.step_images + next;
  }
};

/// Channels that a forward thread pools at once. As few as are widened together, to leave registers for the loads.
constexpr int kPooled = 2;

/// The largest value so far of each of kPooled channels, and its position in the window. Only values that are stored as
/// positive win.
template <class T>
struct Largest {
  float best[kPooled];
  int winner[kPooled];

  __device__ Largest() {
#pragma unroll
    for (int j = 0; j < kPooled; ++j) {
      best[j] = kStoredAsZero<T>;
      winner[j] = kNoWinner;
    }
  }
  /// Compares channels [first, first + kPooled) of a pixel.
  template <int Channels>
  __device__ void consider(const ForwardLine<Channels>& normalize, int first, const Pack<T, Channels>& pixel, int here) {
    Pack<T, kPooled> part;
    memcpy(&part, pixel.v + first, sizeof part);
    float x[kPooled];
    widen(part, x);
#pragma unroll
    for (int j = 0; j < kPooled; ++j) {
      const float value = normalize.y(first + j, x[j]);
      winner[j] = value > best[j] ? here : winner[j];
      best[j] = maximum(best[j], value);
    }
  }
};

/// Stores the results of N adjacent channels.
template <class T, int N>
__device__ void store_pooled(const Largest<T> (&largest)[N / kPooled], T* y, uint8_t* index) {
  float best[N];
  int winner[N];
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const auto& part = largest[j / kPooled];
    best[j] = part.best[j % kPooled];
    winner[j] = best[j] > kStoredAsZero<T> ? part.winner[j % kPooled] : kNoWinner;  // also kNoWinner if best is NaN
  }
  store(y, best);
  if (index != nullptr) {
    store_bytes(index, winner);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks)
    forward_kernel(Pooling s, ColumnGrid grid, Area area, BatchNormReluMaxPoolForward args) {
  constexpr int N = kVec<T>;
  const T* x = static_cast<const T*>(args.x);
  const ColumnPlace place(grid);
  if (!place.active) {
    return;
  }
  const int channels = static_cast<int>(s.channels);
  const int channel = place.column * N;
  ForwardLine<N> normalize;
  normalize.load(args.gamma, args.beta, args.mean, args.rstd, s.channels, channel);
  int64_t to = place.row * s.channels + channel;
  for (AreaPlace at(area, place.row); at.image < area.images; at.advance(area), to += grid.row_step() * s.channels) {
    const int top = at.line * kStride - s.padding;
    const int left = at.column * kStride - s.padding;
    int line[kWindow];
    int column[kWindow];
#pragma unroll
    for (int k = 0; k < kWindow; ++k) {
      line[k] = (at.image * s.in_height + clamped(top + k, s.in_height)) * s.in_width * channels;
      column[k] = clamped(left + k, s.in_width) * channels + channel;
    }
    Pack<T, N> held[kWindow * kWindow];
#pragma unroll
    for (int k = 0; k < kWindow * kWindow; ++k) {
      held[k] = pack_at<N>(x + (line[k / kWindow] + column[k % kWindow]));
    }
    Largest<T> largest[N / kPooled];
#pragma unroll
    for (int part = 0; part < N / kPooled; ++part) {
#pragma unroll
      for (int k = 0; k < kWindow * kWindow; ++k) {
        largest[part].consider(normalize, part * kPooled, held[k],
                               name_of<kWindow>(k / kWindow, top) * kWindow + name_of<kWindow>(k % kWindow, left));
      }
    }
    store_pooled<T, N>(largest, static_cast<T*>(args.y) + to, args.index == nullptr ? nullptr : args.index + to);
  }
}

/// Calls use(element of x, its value, its g) for the pixels of a tile whose first pixel is the first pixel of window (p, q).
template <class T, int N, class Use>
__device__ void for_tile(const Pooling& s, const T* x, const T* dy, const uint8_t* index, int image, int channel, int p, int q,
                         const Use& use) {
  Pack<T, N> gradients[kPixels];
  Winners<N> winners[kPixels];
  const int channels = static_cast<int>(s.channels);
#pragma unroll
  for (int k = 0; k < kPixels; ++k) {
    const int line = p - k / kStride;
    const int column = q - k % kStride;
    const bool exists = line >= 0 && line < s.out_height && column >= 0 && column < s.out_width;
    const int from = (exists ? (image * s.out_height + line) * s.out_width + column : 0) * channels + channel;
    gradients[k] = pack_at<N>(dy + from);
    winners[k] = load_winners<N>(index + from);
    winners[k].bytes = exists ? winners[k].bytes : 0xffffffffu;
  }
  // One window at a time, so that each is unpacked once and its registers are then free.
  float g[kPixels][N] = {};
#pragma unroll
  for (int from = 0; from < kPixels; ++from) {
    float v[N];
    widen(gradients[from], v);
#pragma unroll
    for (int to = 0; to < kPixels; ++to) {
      const int line = to / kStride + from / kStride * kStride;
      const int column = to % kStride + from % kStride * kStride;
      if (line < kWindow && column < kWindow) {
#pragma unroll
        for (int j = 0; j < N; ++j) {
          if (winners[from].are(j, line * kWindow + column)) {
            g[to][j] += v[j];
          }
        }
      }
    }
  }
  const int top = p * kStride - s.padding;
  const int left = q * kStride - s.padding;
  const int first = ((image * s.in_height + top) * s.in_width + left) * channels + channel;
  const auto inside = [&](int k) {
    const int line = top + k / kStride;
    const int column = left + k % kStride;
    return line >= 0 && line < s.in_height && column >= 0 && column < s.in_width;
  };
  const auto at = [&](int k) { return first + (k / kStride * s.in_width + k % kStride) * channels; };
  Pack<T, N> values[kPixels];
#pragma unroll
  for (int k = 0; k < kPixels; ++k) {
    values[k] = pack_at<N>(x + (inside(k) ? at(k) : channel));
  }
#pragma unroll
  for (int k = 0; k < kPixels; ++k) {
    if (inside(k)) {
      use(at(k), values[k], g[k]);
    }
  }
}

/// Calls for_tile for all tiles of a thread.
template <class T, int N, class Use>
__device__ void for_tiles(const Pooling& s, const Area& area, const ColumnPlace& place, const T* x, const T* dy,
                          const uint8_t* index, const Use& use) {
  const int first = s.padding / kStride;  // tiles before it are in the padding
  for (AreaPlace at(area, place.row); at.image < area.images; at.advance(area)) {
    for_tile<T, N>(s, x, dy, index, at.image, place.column * N, at.line + first, at.column + first, use);
  }
}

/// Adds the sums of g and of g * (y - beta) over the outputs of a thread. Loads four of them before the first use.
template <class T, int N>
__device__ void add_outputs(const ColumnGrid& grid, const ColumnPlace& place, int64_t rows, int64_t channels, const T* y,
                            const T* dy, const float (&beta)[N], float (&sum)[2][N]) {
  constexpr int kRows = 4;
  const int64_t step = grid.row_step();
  for (int64_t row = place.row; row < rows; row += kRows * step) {
    Pack<T, N> pooled[kRows];
    Pack<T, N> gradients[kRows];
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      const int64_t at = (row + k * step < rows ? row + k * step : row) * channels + int64_t{place.column} * N;
      pooled[k] = pack_at<N>(y + at);
      gradients[k] = pack_at<N>(dy + at);
    }
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      if (row + k * step < rows) {
        float value[N];
        float g[N];
        widen(pooled[k], value);
        widen(gradients[k], g);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          if (value[j] > 0) {
            sum[0][j] += g[j];
            sum[1][j] += g[j] * (value[j] - beta[j]);
          }
        }
      }
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks)
    reduce_kernel(Pooling s, ColumnGrid grid, Area area, BatchNormReluMaxPoolBackwardReduce args, float* partials) {
  constexpr int N = kChannels<T>;
  const T* dy = static_cast<const T*>(args.dy);
  const ColumnPlace place(grid);
  float sum[2][N] = {};
  if (place.active) {
    float of[4][N];
    load_channels({args.gamma, args.beta, args.mean, args.rstd}, s.channels, int64_t{place.column} * N, of);
    const auto& [gamma, beta, mean, rstd] = of;
    bool from_y = true;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      from_y = from_y && fabsf(gamma[j]) >= kLeastGamma && fabsf(beta[j]) <= kMostBetaPerGamma * fabsf(gamma[j]);
    }
    if (from_y) {
      const int64_t rows = int64_t{area.images} * s.out_height * s.out_width;
      add_outputs<T, N>(grid, place, rows, s.channels, static_cast<const T*>(args.y), dy, beta, sum);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        sum[1][j] /= gamma[j] * rstd[j];  // the sum of g * (x - mean)
      }
    } else {
      for_tiles<T, N>(s, area, place, static_cast<const T*>(args.x), dy, args.index,
                      [&](int, const Pack<T, N>& x, const float(&g)[N]) {
#pragma unroll
                        for (int j = 0; j < N; ++j) {
                          sum[0][j] += g[j];
                          sum[1][j] += g[j] * (widen(x.v[j]) - mean[j]);
                        }
                      });
    }
  }
  add_lanes(grid, place, sum);
  store_partials(grid, place, sum, partials);
}

template <class T>
__global__ void __launch_bounds__(kThreads, kBlocks)
    apply_kernel(Pooling s, ColumnGrid grid, Area area, int64_t rows, BatchNormReluMaxPoolBackwardApply args) {
  constexpr int N = kChannels<T>;
  T* dx = static_cast<T*>(args.dx);
  const ColumnPlace place(grid);
  if (!place.active) {
    return;
  }
  BackwardLine<N> line;
  line.load(args.gamma, args.mean, args.rstd, args.sum_g, args.sum_g_xhat, rows, s.channels, int64_t{place.column} * N);
  for_tiles<T, N>(s, area, place, static_cast<const T*>(args.x), static_cast<const T*>(args.dy), args.index,
                  [&](int i, const Pack<T, N>& x, const float(&g)[N]) {
                    float out[N];
#pragma unroll
                    for (int j = 0; j < N; ++j) {
                      out[j] = line.dx(j, g[j], widen(x.v[j]));
                    }
                    store(dx + i, out);
                  });
}

/// A grid of tiles for backward.
struct Tiles {
  ColumnGrid grid;
  Area area;

  template <class T>
  static Tiles of(const PoolShape& s, const Stream& stream) {
    const auto tiles = [&](int64_t size) { return (size - 1 + s.padding) / kStride - s.padding / kStride + 1; };
    const int64_t height = tiles(s.in_height);
    const int64_t width = tiles(s.in_width);
    const ColumnGrid grid(stream, s.batch * height * width, s.channels / kChannels<T>, kBlocks, kThreads);
    return {grid, Area(grid, height, width)};
  }
};

void run_group(const BatchNormReluMaxPoolForward& args, Stream& stream) {
  const PoolShape& s = args.shape;
  visit_float(args.dtype, [&]<class T>() {
    const ColumnGrid grid(stream, s.batch * s.out_height() * s.out_width(), s.channels / kVec<T>, kBlocks, kThreads);
    launch(stream, grid.launch, forward_kernel<T>, Pooling(s), grid, Area(grid, s.out_height(), s.out_width()), args);
  });
}

void run_group(const BatchNormReluMaxPoolBackwardReduce& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    constexpr int N = kChannels<T>;
    const auto [grid, area] = Tiles::of<T>(args.shape, stream);
    const device_api::Workspace workspace(stream.device(), partials_bytes<N>(grid));
    auto* partials = static_cast<float*>(workspace.data());
    LaunchShape shape = grid.launch;
    shape.shared_bytes = lane_sums_bytes<N>(shape.threads);
    launch(stream, shape, reduce_kernel<T>, Pooling(args.shape), grid, area, args, partials);
    finish_sums<N>(stream, grid, args.shape.channels, partials, FinishBackward{args.rstd, args.sum_g, args.sum_g_xhat});
  });
}

void run_group(const BatchNormReluMaxPoolBackwardApply& args, Stream& stream) {
  const PoolShape& s = args.shape;
  visit_float(args.dtype, [&]<class T>() {
    const auto [grid, area] = Tiles::of<T>(s, stream);
    launch(stream, grid.launch, apply_kernel<T>, Pooling(s), grid, area, s.batch * s.in_height * s.in_width, args);
  });
}

}  // namespace

void run(const BatchNormReluMaxPoolForward& args, Stream& stream) {
  for_each_group(args, [&](const BatchNormReluMaxPoolForward& group) { run_group(group, stream); });
}

void run(const BatchNormReluMaxPoolBackwardReduce& args, Stream& stream) {
  for_each_group(args, [&](const BatchNormReluMaxPoolBackwardReduce& group) { run_group(group, stream); });
}

void run(const BatchNormReluMaxPoolBackwardApply& args, Stream& stream) {
  for_each_group(args, [&](const BatchNormReluMaxPoolBackwardApply& group) { run_group(group, stream); });
}

}  // namespace residua::cuda
