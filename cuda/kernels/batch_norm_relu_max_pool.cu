// Batch normalization, ReLU and max pooling in one kernel. A thread processes 16 bytes of adjacent channels in forward and 8
// bytes in backward (one channel if their number or an address does not allow it). Its channels' parameters stay in its
// registers (cuda/device/columns.cuh).
//
// Forward: one output at a time. All loads of its window are issued before the first use; the caches reduce them to one read of
// x from memory. y and the index are written once.
//
// Backward: one tile of stride x stride pixels at a time. Tiles are aligned to the padded image, so the pixels of every tile
// have the same positions in the same windows. With window 3 and stride 2, these are nine positions of four pixels in four
// windows. The windows are loaded once for the tile; up to three neighbors load them too, from the caches. x, dy and the index
// are read once from memory, and dx is written once. Other window sizes are processed pixel by pixel. The sums need only y and
// dy, unless a channel's gamma or beta is beyond the limits of core/kernels/batch_norm_relu_max_pool.h.
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
  using Word = std::conditional_t<N == 4, uint32_t, std::conditional_t<N == 2, uint16_t, uint8_t>>;
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
template <int N>
constexpr int kPooled = N % 2 == 0 ? 2 : 1;

/// The largest value so far of each of N channels, and its position in the window. Only values that are stored as positive win.
template <class T, int N>
struct Largest {
  float best[N];
  int winner[N];

  __device__ Largest() {
#pragma unroll
    for (int j = 0; j < N; ++j) {
      best[j] = kStoredAsZero<T>;
      winner[j] = kNoWinner;
    }
  }
  /// Compares channels [first, first + N) of a pixel.
  template <int Channels>
  __device__ void consider(const ForwardLine<Channels>& normalize, int first, const Pack<T, Channels>& pixel, int here) {
    Pack<T, N> part;
    memcpy(&part, pixel.v + first, sizeof part);
    float x[N];
    widen(part, x);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float value = normalize.y(first + j, x[j]);
      winner[j] = value > best[j] ? here : winner[j];
      best[j] = maximum(best[j], value);
    }
  }
};

/// Stores the results of N adjacent channels.
template <class T, int N>
__device__ void store_pooled(const Largest<T, kPooled<N>> (&largest)[N / kPooled<N>], T* y, uint8_t* index) {
  float best[N];
  int winner[N];
#pragma unroll
  for (int j = 0; j < N; ++j) {
    const auto& part = largest[j / kPooled<N>];
    best[j] = part.best[j % kPooled<N>];
    winner[j] = best[j] > kStoredAsZero<T> ? part.winner[j % kPooled<N>] : kNoWinner;  // also kNoWinner if best is NaN
  }
  store(y, best);
  if (index != nullptr) {
    store_bytes(index, winner);
  }
}

/// `Window` is the window size, for tensors of fewer than 2^32 elements. 0 means any window and any size.
template <class T, int N, int Window>
__global__ void __launch_bounds__(kThreads, kBlocks)
    forward_kernel(Pooling s, ColumnGrid grid, Area area, BatchNormReluMaxPoolForward args) {
  const T* x = static_cast<const T*>(args.x);
  const ColumnPlace place(grid);
  if (!place.active) {
    return;
  }
  const int64_t channel = int64_t{place.column} * N;
  ForwardLine<N> normalize;
  normalize.load(args.gamma, args.beta, args.mean, args.rstd, s.channels, channel);
  int64_t to = place.row * s.channels + channel;
  for (AreaPlace at(area, place.row); at.image < area.images; at.advance(area), to += grid.row_step() * s.channels) {
    const int top = at.line * s.stride - s.padding;
    const int left = at.column * s.stride - s.padding;
    Largest<T, kPooled<N>> largest[N / kPooled<N>];
    if constexpr (Window > 0) {
      const auto channels = static_cast<uint32_t>(s.channels);
      const auto first_line = static_cast<uint32_t>(at.image) * static_cast<uint32_t>(s.in_height);
      const uint32_t pitch = static_cast<uint32_t>(s.in_width) * channels;
      uint32_t line[Window];
      uint32_t column[Window];
#pragma unroll
      for (int k = 0; k < Window; ++k) {
        line[k] = (first_line + static_cast<uint32_t>(clamped(top + k, s.in_height))) * pitch;
        column[k] = static_cast<uint32_t>(clamped(left + k, s.in_width)) * channels + static_cast<uint32_t>(channel);
      }
      Pack<T, N> held[Window][Window];
#pragma unroll
      for (int i = 0; i < Window; ++i) {
#pragma unroll
        for (int k = 0; k < Window; ++k) {
          held[i][k] = pack_at<N>(x + (line[i] + column[k]));
        }
      }
#pragma unroll
      for (int part = 0; part < N / kPooled<N>; ++part) {
#pragma unroll
        for (int i = 0; i < Window; ++i) {
#pragma unroll
          for (int k = 0; k < Window; ++k) {
            largest[part].consider(normalize, part * kPooled<N>, held[i][k],
                                   name_of<Window>(i, top) * Window + name_of<Window>(k, left));
          }
        }
      }
    } else {
      const T* image = x + int64_t{at.image} * s.in_height * s.in_width * s.channels + channel;
      for (int i = top < 0 ? -top : 0; i < s.window && top + i < s.in_height; ++i) {
        for (int k = left < 0 ? -left : 0; k < s.window && left + k < s.in_width; ++k) {
          const auto pixel = pack_at<N>(image + (int64_t{top + i} * s.in_width + left + k) * s.channels);
#pragma unroll
          for (int part = 0; part < N / kPooled<N>; ++part) {
            largest[part].consider(normalize, part * kPooled<N>, pixel, i * s.window + k);
          }
        }
      }
    }
    store_pooled<T, N>(largest, static_cast<T*>(args.y) + to, args.index == nullptr ? nullptr : args.index + to);
  }
}

/// Calls use(element of x, its value, its g) for the pixels of a tile whose first pixel is the first pixel of window (p, q).
/// For images of fewer than 2^31 elements.
template <int Window, int Stride, class T, int N, class Use>
__device__ void for_tile(const Pooling& s, const T* x, const T* dy, const uint8_t* index, int image, int64_t channel, int p,
                         int q, const Use& use) {
  constexpr int kReach = (Window + Stride - 1) / Stride;  // windows per dimension that contain pixels of a tile
  Pack<T, N> gradients[kReach * kReach];
  Winners<N> winners[kReach * kReach];
  const int channels = static_cast<int>(s.channels);
  const int64_t out_image = int64_t{image} * s.out_height * s.out_width * s.channels + channel;
  const int last = (p * s.out_width + q) * channels;
#pragma unroll
  for (int k = 0; k < kReach * kReach; ++k) {
    const int line = p - k / kReach;
    const int column = q - k % kReach;
    const bool exists = line >= 0 && line < s.out_height && column >= 0 && column < s.out_width;
    const int from = exists ? last - (k / kReach * s.out_width + k % kReach) * channels : 0;
    gradients[k] = pack_at<N>(dy + out_image + from);
    winners[k] = load_winners<N>(index + out_image + from);
    winners[k].bytes = exists ? winners[k].bytes : 0xffffffffu;
  }
  const int top = p * Stride - s.padding;
  const int left = q * Stride - s.padding;
  const int64_t in_image = int64_t{image} * s.in_height * s.in_width * s.channels + channel;
  const int first = (top * s.in_width + left) * channels;
  const auto at = [&](int i, int k) { return first + (i * s.in_width + k) * channels; };
  const auto inside = [&](int i, int k) {
    return top + i >= 0 && top + i < s.in_height && left + k >= 0 && left + k < s.in_width;
  };
  // One window at a time, so that each is unpacked once and its registers are then free.
  float g[Stride * Stride][N] = {};
#pragma unroll
  for (int from = 0; from < kReach * kReach; ++from) {
    float v[N];
    widen(gradients[from], v);
#pragma unroll
    for (int to = 0; to < Stride * Stride; ++to) {
      const int line = to / Stride + from / kReach * Stride;
      const int column = to % Stride + from % kReach * Stride;
      if (line < Window && column < Window) {
#pragma unroll
        for (int j = 0; j < N; ++j) {
          if (winners[from].are(j, line * Window + column)) {
            g[to][j] += v[j];
          }
        }
      }
    }
  }
  Pack<T, N> values[Stride * Stride];
#pragma unroll
  for (int k = 0; k < Stride * Stride; ++k) {
    values[k] = pack_at<N>(x + in_image + (inside(k / Stride, k % Stride) ? at(k / Stride, k % Stride) : 0));
  }
#pragma unroll
  for (int k = 0; k < Stride * Stride; ++k) {
    if (inside(k / Stride, k % Stride)) {
      use(in_image + at(k / Stride, k % Stride), values[k], g[k]);
    }
  }
}

/// Like for_tile, for the single pixel (h, w) and any window.
template <class T, int N, class Use>
__device__ void for_pixel(const Pooling& s, const T* x, const T* dy, const uint8_t* index, int image, int64_t channel, int h,
                          int w, const Use& use) {
  float g[N] = {};
  for (int p = (h + s.padding) / s.stride; p >= 0 && h + s.padding - p * s.stride < s.window; --p) {
    for (int q = (w + s.padding) / s.stride; q >= 0 && w + s.padding - q * s.stride < s.window; --q) {
      if (p < s.out_height && q < s.out_width) {
        const int place = (h + s.padding - p * s.stride) * s.window + w + s.padding - q * s.stride;
        const int64_t from = ((int64_t{image} * s.out_height + p) * s.out_width + q) * s.channels + channel;
        const auto gradient = pack_at<N>(dy + from);
        const auto winner = load_winners<N>(index + from);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          g[j] += winner.are(j, place) ? widen(gradient.v[j]) : 0.0f;
        }
      }
    }
  }
  const int64_t at = ((int64_t{image} * s.in_height + h) * s.in_width + w) * s.channels + channel;
  use(at, pack_at<N>(x + at), g);
}

/// Calls for_tile or for_pixel for all tiles or pixels of a thread. `Window` and `Stride` are 0 for any.
template <int Window, int Stride, class T, int N, class Use>
__device__ void for_gradients(const Pooling& s, const Area& area, const ColumnPlace& place, const T* x, const T* dy,
                              const uint8_t* index, const Use& use) {
  const int64_t channel = int64_t{place.column} * N;
  for (AreaPlace at(area, place.row); at.image < area.images; at.advance(area)) {
    if constexpr (Window > 0) {
      const int first = s.padding / Stride;  // tiles before it are in the padding
      for_tile<Window, Stride, T, N>(s, x, dy, index, at.image, channel, at.line + first, at.column + first, use);
    } else {
      for_pixel<T, N>(s, x, dy, index, at.image, channel, at.line, at.column, use);
    }
  }
}

/// Adds the sums of g and of g * (y - beta) over the pooled rows of a thread. Loads four rows before the first use.
template <class T, int N>
__device__ void add_pooled(const ColumnGrid& grid, const ColumnPlace& place, int64_t rows, int64_t channels, const T* y,
                           const T* dy, const float (&beta)[N], float (&sum)[2][N]) {
  constexpr int kRows = 4;
  const int64_t step = grid.row_step();
  for (int64_t row = place.row; row < rows; row += kRows * step) {
    Pack<T, N> pooled[kRows], gradients[kRows];
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      const int64_t at = (row + k * step < rows ? row + k * step : row) * channels + int64_t{place.column} * N;
      pooled[k] = pack_at<N>(y + at);
      gradients[k] = pack_at<N>(dy + at);
    }
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      if (row + k * step < rows) {
        float value[N], g[N];
        widen(pooled[k], value);
        widen(gradients[k], g);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          const float passed = value[j] > 0 ? g[j] : 0.0f;
          sum[0][j] += passed;
          sum[1][j] += value[j] > 0 ? passed * (value[j] - beta[j]) : 0.0f;
        }
      }
    }
  }
}

template <class T, int N, int Window, int Stride>
__global__ void __launch_bounds__(kThreads, kBlocks)
    reduce_kernel(Pooling s, ColumnGrid grid, Area area, BatchNormReluMaxPoolBackwardReduce args, float* partials) {
  const T* dy = static_cast<const T*>(args.dy);
  const ColumnPlace place(grid);
  float sum[2][N] = {};
  if (place.active) {
    float of[4][N];
    load_channels({args.gamma, args.beta, args.mean, args.rstd}, s.channels, int64_t{place.column} * N, of);
    const auto& [gamma, beta, mean, rstd] = of;
    bool pooled = true;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      pooled = pooled && fabsf(gamma[j]) >= kLeastGamma && fabsf(beta[j]) <= kMostBetaPerGamma * fabsf(gamma[j]);
    }
    if (pooled) {
      const int64_t rows = int64_t{area.images} * s.out_height * s.out_width;
      add_pooled<T, N>(grid, place, rows, s.channels, static_cast<const T*>(args.y), dy, beta, sum);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        sum[1][j] /= gamma[j] * rstd[j];  // g * (x - mean)
      }
    } else {
      for_gradients<Window, Stride, T, N>(s, area, place, static_cast<const T*>(args.x), dy, args.index,
                                          [&](int64_t, const Pack<T, N>& x, const float(&g)[N]) {
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

template <class T, int N, int Window, int Stride>
__global__ void __launch_bounds__(kThreads, kBlocks)
    apply_kernel(Pooling s, ColumnGrid grid, Area area, int64_t rows, BatchNormReluMaxPoolBackwardApply args) {
  T* dx = static_cast<T*>(args.dx);
  const ColumnPlace place(grid);
  if (!place.active) {
    return;
  }
  BackwardLine<N> line;
  line.load(args.gamma, args.mean, args.rstd, args.sum_g, args.sum_g_xhat, rows, s.channels, int64_t{place.column} * N);
  for_gradients<Window, Stride, T, N>(s, area, place, static_cast<const T*>(args.x), static_cast<const T*>(args.dy), args.index,
                                      [&](int64_t i, const Pack<T, N>& x, const float(&g)[N]) {
                                        float out[N];
#pragma unroll
                                        for (int j = 0; j < N; ++j) {
                                          out[j] = line.dx(j, g[j], widen(x.v[j]));
                                        }
                                        store(dx + i, out);
                                      });
}

/// Calls f(Elements<N>{}) with the number of channels per thread.
template <class T, class F, class... Pointers>
void visit_channels(const PoolShape& s, const uint8_t* index, const F& f, Pointers... pointers) {
  const bool packed = s.channels % kChannels<T> == 0 && aligned_to(kChannels<T>, index) && aligned_to(8, pointers...);
  visit_bool(packed, [&](auto whole) { f(Elements < whole() ? kChannels<T> : 1 > {}); });
}

/// Calls f(elements, window, stride, grid, area). Window and stride are 0 for the pixel-by-pixel kernel.
template <class T, class F, class... Pointers>
void visit_backward(const PoolShape& s, Stream& stream, const uint8_t* index, const F& f, Pointers... pointers) {
  const bool counted_in_32_bits = s.in_height * s.in_width * s.channels < INT32_MAX / 2;  // padding included
  visit_bool(s.window == 3 && s.stride == 2 && counted_in_32_bits, [&](auto tiled) {
    visit_channels<T>(
        s, index,
        [&](auto elements) {
          constexpr int kElements = decltype(elements)::kCount;
          const auto tiles = [&](int64_t size) { return tiled() ? (size - 1 + s.padding) / 2 - s.padding / 2 + 1 : size; };
          const int64_t height = tiles(s.in_height);
          const int64_t width = tiles(s.in_width);
          const ColumnGrid grid(stream, s.batch * height * width, s.channels / kElements, kBlocks, kThreads);
          f(elements, Elements < tiled() ? 3 : 0 > {}, Elements < tiled() ? 2 : 0 > {}, grid, Area(grid, height, width));
        },
        pointers...);
  });
}

void run_group(const BatchNormReluMaxPoolForward& args, Stream& stream) {
  const PoolShape& s = args.shape;
  visit_float(args.dtype, [&]<class T>() {
    const bool packed = s.channels % kVec<T> == 0 && aligned_to(kVec<T>, args.index) &&
                        aligned_to(16, static_cast<const T*>(args.x), static_cast<const T*>(args.y));
    visit_pack<T>(packed, [&]<int N>(Elements<N>) {
      const ColumnGrid grid(stream, s.batch * s.out_height() * s.out_width(), s.channels / N, kBlocks, kThreads);
      const Area area(grid, s.out_height(), s.out_width());
      visit_bool(s.window == 3 && s.batch * s.in_height * s.in_width * s.channels <= UINT32_MAX, [&](auto three) {
        launch(stream, grid.launch, forward_kernel < T, N, three() ? 3 : 0 >, Pooling(s), grid, area, args);
      });
    });
  });
}

void run_group(const BatchNormReluMaxPoolBackwardReduce& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    visit_backward<T>(
        args.shape, stream, args.index,
        [&](auto elements, auto window, auto stride, const ColumnGrid& grid, const Area& area) {
          constexpr int kElements = decltype(elements)::kCount;
          const device_api::Workspace workspace(stream.device(), partials_bytes<kElements>(grid));
          auto* partials = static_cast<float*>(workspace.data());
          LaunchShape shape = grid.launch;
          shape.shared_bytes = lane_sums_bytes<kElements>(shape.threads);
          launch(stream, shape, reduce_kernel<T, kElements, decltype(window)::kCount, decltype(stride)::kCount>,
                 Pooling(args.shape), grid, area, args, partials);
          finish_sums<kElements>(stream, grid, args.shape.channels, partials,
                                 FinishBackward{args.rstd, args.sum_g, args.sum_g_xhat});
        },
        args.x, args.y, args.dy);
  });
}

void run_group(const BatchNormReluMaxPoolBackwardApply& args, Stream& stream) {
  const PoolShape& s = args.shape;
  visit_float(args.dtype, [&]<class T>() {
    visit_backward<T>(
        s, stream, args.index,
        [&](auto elements, auto window, auto stride, const ColumnGrid& grid, const Area& area) {
          launch(stream, grid.launch,
                 apply_kernel<T, decltype(elements)::kCount, decltype(window)::kCount, decltype(stride)::kCount>, Pooling(s),
                 grid, area, s.batch * s.in_height * s.in_width, args);
        },
        args.x, args.dy, args.dx);
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
