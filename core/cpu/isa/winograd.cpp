// A block of tiles is transformed into [36, tiles, channels], so that each element is a matrix product, whose left factor is
// read in rows of a few tiles and whose right factor in panels of 16 columns; both stay in registers and the first cache.
#include "core/cpu/winograd.h"

#include <algorithm>

#include "core/cpu/blocks.h"
#include "core/cpu/isa.h"
#include "core/cpu/parallel.h"
#include "core/cpu/products.h"
#include "core/cpu/scratch.h"

namespace residua::cpu::RESIDUA_ISA {
namespace {

constexpr int kIn = 6;    // side of a tile of x
constexpr int kOut = 4;   // and of y
constexpr int kTaps = 3;  // and of w
constexpr int64_t kElements = kIn * kIn;

// The points at which the algorithm evaluates its polynomials: 0, a, -a, b, -b and infinity. These two round half as much as
// 1 and 2 do.
constexpr float kA = 0.625f, kB = 1.5f;
constexpr float kA2 = kA * kA, kB2 = kB * kB;
constexpr float kG0 = 1 / (kA2 * kB2), kGa = 1 / (2 * kA2 * (kA2 - kB2)), kGb = 1 / (2 * kB2 * (kB2 - kA2));

/// B^T x, for a row or a column.
struct InputTransform {
  static constexpr int kSize = kIn;
  RESIDUA_INLINE void operator()(const Floats (&x)[kIn], Floats (&v)[kIn]) const {
    const Floats even_a = x[4] - kB2 * x[2], odd_a = x[3] - kB2 * x[1];
    const Floats even_b = x[4] - kA2 * x[2], odd_b = x[3] - kA2 * x[1];
    v[0] = kA2 * kB2 * x[0] + (x[4] - (kA2 + kB2) * x[2]);
    v[1] = even_a + kA * odd_a;
    v[2] = even_a - kA * odd_a;
    v[3] = even_b + kB * odd_b;
    v[4] = even_b - kB * odd_b;
    v[5] = kA2 * kB2 * x[1] + (x[5] - (kA2 + kB2) * x[3]);
  }
};

/// A dy.
struct GradientTransform {
  static constexpr int kSize = kOut;
  RESIDUA_INLINE void operator()(const Floats (&dy)[kOut], Floats (&z)[kIn]) const {
    const Floats even_a = dy[0] + kA2 * dy[2], odd_a = kA * dy[1] + kA * kA2 * dy[3];
    const Floats even_b = dy[0] + kB2 * dy[2], odd_b = kB * dy[1] + kB * kB2 * dy[3];
    z[0] = dy[0];
    z[1] = even_a + odd_a;
    z[2] = even_a - odd_a;
    z[3] = even_b + odd_b;
    z[4] = even_b - odd_b;
    z[5] = dy[3];
  }
};

/// G w.
RESIDUA_INLINE void transform_weights(const Floats (&w)[kTaps], Floats (&u)[kIn]) {
  const Floats even_a = kGa * w[0] + kGa * kA2 * w[2], odd_a = kGa * kA * w[1];
  const Floats even_b = kGb * w[0] + kGb * kB2 * w[2], odd_b = kGb * kB * w[1];
  u[0] = kG0 * w[0];
  u[1] = even_a + odd_a;
  u[2] = even_a - odd_a;
  u[3] = even_b + odd_b;
  u[4] = even_b - odd_b;
  u[5] = w[2];
}

/// A^T m.
RESIDUA_INLINE void transform_output(const Floats (&m)[kIn], Floats (&y)[kOut]) {
  const Floats even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4], odd_b = m[3] - m[4];
  y[0] = m[0] + (even_a + even_b);
  y[1] = kA * odd_a + kB * odd_b;
  y[2] = kA2 * even_a + kB2 * even_b;
  y[3] = kA * kA2 * odd_a + (kB * kB2 * odd_b + m[5]);
}

/// G^T u.
RESIDUA_INLINE void transform_sums(const Floats (&u)[kIn], Floats (&dw)[kTaps]) {
  const Floats even_a = u[1] + u[2], odd_a = u[1] - u[2], even_b = u[3] + u[4], odd_b = u[3] - u[4];
  dw[0] = kG0 * u[0] + (kGa * even_a + kGb * even_b);
  dw[1] = kGa * kA * odd_a + kGb * kB * odd_b;
  dw[2] = kGa * kA2 * even_a + (kGb * kB2 * even_b + u[5]);
}

template <int Size>
RESIDUA_INLINE void column(const auto& rows, int j, Floats (&out)[Size]) {
#pragma GCC unroll 6
  for (int i = 0; i < Size; ++i) {
    out[i] = rows[i][j];
  }
}

struct Tiles {
  int64_t height, width, rows, columns, count;
  explicit Tiles(const ConvolutionShape& s)
      : height(s.in_height),
        width(s.in_width),
        rows((height + kOut - 1) / kOut),
        columns((width + kOut - 1) / kOut),
        count(s.batch * rows * columns) {}
};

/// The pixels of a tile, Size in each direction, and which of them lie inside the image.
template <int Size>
struct Window {
  int64_t first;  // number of the first pixel, which may lie outside
  int first_row, end_row, first_column, end_column;

  Window(const Tiles& t, int64_t tile) {
    constexpr int64_t kPadding = (Size - kOut) / 2;
    const int64_t tile_row = tile / t.columns;
    const int64_t row = tile_row % t.rows * kOut - kPadding;
    const int64_t column = tile % t.columns * kOut - kPadding;
    first = (tile_row / t.rows * t.height + row) * t.width + column;
    first_row = row < 0 ? 1 : 0;
    first_column = column < 0 ? 1 : 0;
    end_row = static_cast<int>(std::min<int64_t>(Size, t.height - row));
    end_column = static_cast<int>(std::min<int64_t>(Size, t.width - column));
  }
  bool inside() const { return first_row == 0 && first_column == 0 && end_row == Size && end_column == Size; }
};

/// out[element * stride + channel] = the transform of a window of x, in which pixels outside the image are zero. Loops over
/// rows and columns are not unrolled: so many addresses would not fit into registers.
template <bool Inside, class Transform, class T>
RESIDUA_INLINE void transform_window(const Window<Transform::kSize>& window, const Tiles& t, const T* x, int64_t channels,
                                     float* out, int64_t stride) {
  constexpr int kSize = Transform::kSize;
  for (int64_t c = 0; c < channels; c += kLanes) {
    const T* from = x + window.first * channels + c;
    Floats rows[kSize][kIn];
#pragma GCC unroll 1
    for (int i = 0; i < kSize; ++i, from += t.width * channels) {
      const bool row_inside = Inside || (i >= window.first_row && i < window.end_row);
      Floats row[kSize];
#pragma GCC unroll 6
      for (int j = 0; j < kSize; ++j) {
        const bool inside = Inside || (row_inside && j >= window.first_column && j < window.end_column);
        row[j] = inside ? load(from + j * channels) : Floats{};
      }
      Transform()(row, rows[i]);
    }
#pragma GCC unroll 1
    for (int j = 0; j < kIn; ++j) {
      Floats in[kSize], v[kIn];
      column(rows, j, in);
      Transform()(in, v);
#pragma GCC unroll 6
      for (int i = 0; i < kIn; ++i) {
        store(out + (i * kIn + j) * stride + c, v[i]);
      }
    }
  }
}

template <class Transform, class T>
[[gnu::noinline]] void transform_tile(const Tiles& t, int64_t tile, const T* x, int64_t channels, float* out, int64_t stride) {
  const Window<Transform::kSize> window(t, tile);
  if (window.inside()) {
    transform_window<true, Transform>(window, t, x, channels, out, stride);
  } else {
    transform_window<false, Transform>(window, t, x, channels, out, stride);
  }
}

/// The tile's outputs from its products, m[element * stride + channel].
template <class T>
[[gnu::noinline]] void write_tile(const Tiles& t, int64_t tile, const float* m, int64_t stride, int64_t channels, T* y) {
  const Window<kOut> window(t, tile);
  for (int64_t k = 0; k < channels; k += kLanes) {
    T* to = y + window.first * channels + k;
    Floats rows[kIn][kOut];
#pragma GCC unroll 1
    for (int i = 0; i < kIn; ++i) {
      Floats row[kIn];
#pragma GCC unroll 6
      for (int j = 0; j < kIn; ++j) {
        row[j] = load(m + (i * kIn + j) * stride + k);
      }
      transform_output(row, rows[i]);
    }
#pragma GCC unroll 1
    for (int j = 0; j < window.end_column; ++j) {
      Floats in[kIn], out[kOut];
      column(rows, j, in);
      transform_output(in, out);
#pragma GCC unroll 4
      for (int i = 0; i < kOut; ++i) {
        if (i < window.end_row) {
          store(to + (i * t.width + j) * channels, out[i]);
        }
      }
    }
  }
}

/// How a block of tiles lies in memory. In floats.
struct Block {
  int64_t tiles;
  int64_t x_row, y_row;          // from a tile of the transformed x or y to the next
  int64_t x_element, y_element;  // from an element of all tiles to the next
  int64_t size;

  Block(const ConvolutionShape& s, int64_t tiles_at_once)
      : tiles(std::min(tiles_at_once, (Tiles(s).count + kFewestRows - 1) / kFewestRows * kFewestRows)),
        x_row(spread(s.in_channels)),
        y_row(spread(s.out_channels)),
        x_element(spread(tiles * x_row)),
        y_element(spread(tiles * y_row)),
        size(kElements * (x_element + y_element)) {}
};

/// u [36, K / 16, C, 16] = the transformed weights.
template <class T>
void transform_weights(const WinogradConvolution& args, float* u) {
  const T* w = static_cast<const T*>(args.w);
  const bool flipped = args.flipped;
  const int64_t in = args.shape.in_channels, out = args.shape.out_channels;
  const auto taps = [=](int64_t c, int64_t k, int tap) {
    if (flipped) {
      return load(w + (c * kTaps * kTaps + kTaps * kTaps - 1 - tap) * out + k);
    }
    T values[kLanes];
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      values[lane] = w[((k + lane) * kTaps * kTaps + tap) * in + c];
    }
    return load(values);
  };
  parallel_ranges(out / kPanel * in, 16, [=](int, int64_t begin, int64_t end) {
    for (int64_t place = begin; place < end; ++place) {
      for (int64_t lane = 0; lane < kPanel; lane += kLanes) {
        Floats rows[kTaps][kIn];
        for (int r = 0; r < kTaps; ++r) {
          Floats row[kTaps];
          for (int s = 0; s < kTaps; ++s) {
            row[s] = taps(place % in, place / in * kPanel + lane, r * kTaps + s);
          }
          transform_weights(row, rows[r]);
        }
        for (int j = 0; j < kIn; ++j) {
          Floats taps_of_column[kTaps], elements[kIn];
          column(rows, j, taps_of_column);
          transform_weights(taps_of_column, elements);
          for (int i = 0; i < kIn; ++i) {
            store(u + (i * kIn + j) * in * out + place * kPanel + lane, elements[i]);
          }
        }
      }
    }
  });
}

template <class T>
void convolve(const WinogradConvolution& args) {
  const Tiles tiles(args.shape);
  const int64_t in = args.shape.in_channels, out = args.shape.out_channels;
  const int64_t size = kElements * in * out;
  // Small blocks stay in the caches. Weights that no cache holds are read once a block.
  const Block block(args.shape, in * out < 256 * 256 ? kFewestRows : kMostRows);
  float* u = scratch_floats(size + thread_count() * block.size);
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  transform_weights<T>(args, u);
  parallel_blocks(tiles.count, kRows, block.tiles, [=](int thread, int64_t begin, int64_t end) {
    float* v = u + size + thread * block.size;
    float* m = v + kElements * block.x_element;
    for (int64_t first = begin; first < end; first += block.tiles) {
      const int64_t count = std::min(block.tiles, end - first);
      const int64_t whole = (count + kRows - 1) / kRows * kRows;  // the products of tiles from `count` on are not used
      for (int64_t t = 0; t < count; ++t) {
        transform_tile<InputTransform>(tiles, first + t, x, in, v + t * block.x_row, block.x_element);
      }
      for (int64_t e = 0; e < kElements; ++e) {
        const float* left = v + e * block.x_element;
        for (int64_t k = 0; k < out; k += kPanel) {
          multiply(whole, in, left, block.x_row, u + (e * out + k) * in, m + e * block.y_element + k, block.y_row);
        }
      }
      for (int64_t t = 0; t < count; ++t) {
        write_tile(tiles, first + t, m + t * block.y_row, block.y_element, out, y);
      }
    }
  });
}

/// dw = G^T sums G, where sums [parts, 36, K, C].
template <class W>
void write_weights(const WinogradWeights& args, const float* sums, int parts) {
  W* dw = static_cast<W*>(args.dw);
  const int64_t in = args.shape.in_channels, out = args.shape.out_channels;
  const int64_t size = kElements * in * out;
  parallel_ranges(out, 1, [=](int, int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      for (int64_t c = 0; c < in; c += kLanes) {
        Floats rows[kIn][kTaps];
        for (int i = 0; i < kIn; ++i) {
          Floats row[kIn];
          for (int j = 0; j < kIn; ++j) {
            const float* element = sums + ((i * kIn + j) * out + k) * in + c;
            row[j] = load(element);
            for (int part = 1; part < parts; ++part) {
              row[j] += load(element + part * size);
            }
          }
          transform_sums(row, rows[i]);
        }
        for (int s = 0; s < kTaps; ++s) {
          Floats elements[kIn], taps[kTaps];
          column(rows, s, elements);
          transform_sums(elements, taps);
          for (int r = 0; r < kTaps; ++r) {
            store(dw + ((k * kTaps + r) * kTaps + s) * in + c, taps[r]);
          }
        }
      }
    }
  });
}

template <class T, class W>
void weights(const WinogradWeights& args) {
  const Tiles tiles(args.shape);
  const int64_t in = args.shape.in_channels, out = args.shape.out_channels;
  const int64_t size = kElements * in * out;
  // The sums are read and written once a block. If no cache holds them, all threads work on the same.
  const bool shared = in * out >= 128 * 128;
  const Block block(args.shape, shared ? 5 * kMostRows : in * out < 64 * 64 ? 2 * kFewestRows : kMostRows);
  float* blocks = scratch_floats(shared ? block.size + size : thread_count() * block.size + parts_of_sums(size) * size);
  float* sums = blocks + (shared ? 1 : thread_count()) * block.size;
  const T* x = static_cast<const T*>(args.x);
  const T* dy = static_cast<const T*>(args.dy);
  // Tiles [begin, end) of the block that starts at tile `first`.
  const auto transform = [=](int64_t first, int64_t begin, int64_t end, float* v) {
    float* z = v + kElements * block.x_element;
    for (int64_t t = begin; t < end; ++t) {
      transform_tile<InputTransform>(tiles, first + t, x, in, v + t * block.x_row, block.x_element);
      transform_tile<GradientTransform>(tiles, first + t, dy, out, z + t * block.y_row, block.y_element);
    }
  };
  // Units [begin, end) of the work on a block: 36 elements times chunks of K.
  const int64_t chunks = (out + kChunk - 1) / kChunk;
  const auto add = [=](int64_t count, int64_t begin, int64_t end, const float* v, float* to, bool overwrite) {
    const float* z = v + kElements * block.x_element;
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t e = unit / chunks, k = unit % chunks * kChunk;
      add_transposed(std::min(kChunk, out - k), in, count, z + e * block.y_element + k, block.y_row, v + e * block.x_element,
                     block.x_row, to + (e * out + k) * in, in, overwrite);
    }
  };
  int parts = 1;
  if (shared) {
    for (int64_t first = 0; first < tiles.count; first += block.tiles) {
      const int64_t count = std::min(block.tiles, tiles.count - first);
      parallel_ranges(count, 1, [=](int, int64_t begin, int64_t end) { transform(first, begin, end, blocks); });
      parallel_ranges(kElements * chunks, 1,
                      [=](int, int64_t begin, int64_t end) { add(count, begin, end, blocks, sums, first == 0); });
    }
  } else {
    parts = parallel_sums(tiles.count, kFewestRows, size, [=](int thread, int part, int64_t begin, int64_t end) {
      float* own = blocks + thread * block.size;
      for (int64_t first = begin; first < end; first += block.tiles) {
        const int64_t count = std::min(block.tiles, end - first);
        transform(first, 0, count, own);
        add(count, 0, kElements * chunks, own, sums + part * size, first == begin);
      }
    });
  }
  write_weights<W>(args, sums, parts);
}

}  // namespace

void run(const WinogradConvolution& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() { convolve<T>(args); });
}

void run(const WinogradWeights& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() { visit_float(args.dw_dtype, [&]<class W>() { weights<T, W>(args); }); });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(WinogradConvolution)
RESIDUA_CPU_KERNEL(WinogradWeights)
