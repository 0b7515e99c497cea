// Each pass is a product of matrices, a block of rows at a time:
//   y = windows of x times w; dx = windows of dy times w, for each phase of the stride; dw = dy transposed times windows of x.
#include "core/cpu/direct_convolution.h"

#include <algorithm>

#include "core/cpu/blocks.h"
#include "core/cpu/isa.h"
#include "core/cpu/parallel.h"
#include "core/cpu/products.h"
#include "core/cpu/scratch.h"

namespace residua::cpu::RESIDUA_ISA {
namespace {

/// Images [height, width, channels], one after the other.
template <class T>
struct Images {
  const T* data;
  int64_t height, width, channels;
};

/// Windows on each image, one for each pixel of a grid in row-major order.
struct Windows {
  int64_t grid_height, grid_width;
  int64_t row, column;    // where the first begins, which may be outside the image
  int64_t stride;         // from one to the next
  int64_t height, width;  // of each
  int64_t of_image() const { return grid_height * grid_width; }
};

/// Copies and converts. The last register overlaps the one before it.
template <class From, class To>
RESIDUA_INLINE void copy(const From* from, int64_t count, To* to) {
  if (count < kLanes) {
    for (int64_t i = 0; i < count; ++i) {
      to[i] = from_float<To>(to_float(from[i]));
    }
    return;
  }
  for (int64_t i = 0; i < count - kLanes; i += kLanes) {
    store(to + i, load(from + i));
  }
  store(to + count - kLanes, load(from + count - kLanes));
}

/// Writes the pixels of one window of all images side by side, zero outside the image.
template <class T>
void gather(const Images<T>& images, const Windows& w, int64_t window, float* to) {
  const int64_t image = window / w.of_image();
  window %= w.of_image();
  const int64_t row = w.row + window / w.grid_width * w.stride, column = w.column + window % w.grid_width * w.stride;
  const int64_t begin = std::clamp<int64_t>(-column, 0, w.width);
  const int64_t end = std::clamp<int64_t>(images.width - column, begin, w.width);
  const int64_t run = w.width * images.channels;
  for (int64_t r = row; r < row + w.height; ++r, to += run) {
    if (r < 0 || r >= images.height) {
      std::fill(to, to + run, 0.0f);
      continue;
    }
    const T* from = images.data + ((image * images.height + r) * images.width + column + begin) * images.channels;
    std::fill(to, to + begin * images.channels, 0.0f);
    copy(from, (end - begin) * images.channels, to + begin * images.channels);
    std::fill(to + end * images.channels, to + run, 0.0f);
  }
}

/// Multiplies windows [begin, end) of all images by weights [columns / 16, window, 16] and calls put(window, products).
template <class T, class Put>
void multiply_windows(const Images<T>& images, const Windows& windows, int64_t begin, int64_t end, const float* weights,
                      int64_t columns, float* workspace, const Put& put) {
  const int64_t depth = windows.height * windows.width * images.channels;
  const int64_t most = rows_at_once(depth);
  float* products = workspace + most * depth;
  for (int64_t first = begin; first < end; first += most) {
    const int64_t count = std::min(most, end - first);
    const int64_t whole = (count + kRows - 1) / kRows * kRows;  // the products of rows from `count` on are not used
    for (int64_t i = 0; i < count; ++i) {
      gather(images, windows, first + i, workspace + i * depth);
    }
    for (int64_t c = 0; c < columns; c += kPanel) {
      multiply(whole, depth, workspace, depth, weights + c * depth, products + c, columns);
    }
    for (int64_t i = 0; i < count; ++i) {
      put(first + i, products + i * columns);
    }
  }
}

Windows input_windows(const ConvolutionShape& s) {
  return {.grid_height = s.out_height(),
          .grid_width = s.out_width(),
          .row = -s.padding,
          .column = -s.padding,
          .stride = s.stride,
          .height = s.kernel_height,
          .width = s.kernel_width};
}

template <class T>
void forward(const ConvolutionForward& args) {
  const ConvolutionShape s = args.shape;
  const int64_t depth = s.kernel_height * s.kernel_width * s.in_channels, out = s.out_channels;
  const Images<T> x{static_cast<const T*>(args.x), s.in_height, s.in_width, s.in_channels};
  const Windows windows = input_windows(s);
  const T* w = static_cast<const T*>(args.w);
  T* y = static_cast<T*>(args.y);
  const int64_t block = rows_at_once(depth) * (depth + out);
  float* packed = scratch_floats(out * depth + thread_count() * block);  // [K / 16, R * S * C, 16]
  parallel_ranges(out, kPanel, [=](int, int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      float* to = packed + k / kPanel * kPanel * depth + k % kPanel;
      for (int64_t j = 0; j < depth; ++j) {
        to[j * kPanel] = to_float(w[k * depth + j]);
      }
    }
  });
  parallel_blocks(s.batch * windows.of_image(), kRows, rows_at_once(depth), [=](int thread, int64_t begin, int64_t end) {
    multiply_windows(x, windows, begin, end, packed, out, packed + out * depth + thread * block,
                     [=](int64_t pixel, const float* row) { copy(row, out, y + pixel * out); });
  });
}

/// A pixel of dx at i takes dy at (i + padding - r) / stride from each tap r for which that is whole. So pixels with the same
/// phase, (i + padding) % stride, take the same taps: phase, phase + stride, ... Along one axis:
struct Phase {
  int64_t taps;
  int64_t first, count;  // pixels of dx: first, first + stride, ...
  int64_t window;        // where the window of the first begins in dy

  Phase(int64_t phase, int64_t kernel, int64_t stride, int64_t padding, int64_t size)
      : taps(phase < kernel ? (kernel - phase - 1) / stride + 1 : 0),
        first(((phase - padding) % stride + stride) % stride),
        count(first < size ? (size - first - 1) / stride + 1 : 0),
        window((first + padding - phase) / stride - taps + 1) {}
};

template <class T>
void backward_data(const ConvolutionBackwardData& args) {
  const ConvolutionShape s = args.shape;
  const int64_t in = s.in_channels, out = s.out_channels, stride = s.stride;
  const Images<T> dy{static_cast<const T*>(args.dy), s.out_height(), s.out_width(), out};
  const T* w = static_cast<const T*>(args.w);
  T* dx = static_cast<T*>(args.dx);
  const int64_t size = s.kernel_height * s.kernel_width * in * out;
  // multiply_windows gathers at most so many of the largest windows.
  const int64_t most_taps = Phase(0, s.kernel_height, stride, 0, 0).taps * Phase(0, s.kernel_width, stride, 0, 0).taps;
  const int64_t block = kMostRows * (most_taps * out + in);
  // For each phase of rows and of columns [C / 16, taps in reverse order, K, 16].
  float* packed = scratch_floats(size + thread_count() * block);
  const auto for_phases = [=](const auto& f) {
    float* to = packed;
    for (int64_t a = 0; a < stride; ++a) {
      for (int64_t b = 0; b < stride; ++b) {
        const Phase row(a, s.kernel_height, stride, s.padding, s.in_height);
        const Phase column(b, s.kernel_width, stride, s.padding, s.in_width);
        f(a, b, row, column, to);
        to += row.taps * column.taps * in * out;
      }
    }
  };
  parallel_ranges(in, kPanel, [=](int, int64_t begin, int64_t end) {
    for_phases([=](int64_t a, int64_t b, const Phase& row, const Phase& column, float* all) {
      float* to = all + begin * row.taps * column.taps * out;
      for (int64_t c = begin; c < end; c += kPanel) {
        for (int64_t t = row.taps - 1; t >= 0; --t) {
          for (int64_t u = column.taps - 1; u >= 0; --u) {
            for (int64_t k = 0; k < out; ++k, to += kPanel) {
              copy(w + ((k * s.kernel_height + a + t * stride) * s.kernel_width + b + u * stride) * in + c, kPanel, to);
            }
          }
        }
      }
    });
  });
  for_phases([=](int64_t, int64_t, const Phase& row, const Phase& column, const float* weights) {
    const Windows windows{.grid_height = row.count,
                          .grid_width = column.count,
                          .row = row.window,
                          .column = column.window,
                          .stride = 1,
                          .height = row.taps,
                          .width = column.taps};
    const int64_t depth = row.taps * column.taps * out;
    parallel_blocks(s.batch * windows.of_image(), kRows, rows_at_once(depth), [=](int thread, int64_t begin, int64_t end) {
      multiply_windows(dy, windows, begin, end, weights, in, packed + size + thread * block,
                       [=](int64_t pixel, const float* products) {
                         const int64_t i = row.first + pixel / column.count % row.count * stride;
                         const int64_t j = column.first + pixel % column.count * stride;
                         copy(products, in, dx + ((pixel / windows.of_image() * s.in_height + i) * s.in_width + j) * in);
                       });
    });
  });
}

template <class T, class W>
void backward_weights(const ConvolutionBackwardWeights& args) {
  const ConvolutionShape s = args.shape;
  const int64_t depth = s.kernel_height * s.kernel_width * s.in_channels, out = s.out_channels;
  const Images<T> x{static_cast<const T*>(args.x), s.in_height, s.in_width, s.in_channels};
  const Windows windows = input_windows(s);
  const T* dy = static_cast<const T*>(args.dy);
  const int64_t columns = (depth + kPanel - 1) / kPanel * kPanel;
  const int64_t x_stride = spread(columns), dy_stride = spread(out);
  const int64_t size = out * columns;
  const int64_t block = kMostRows * (x_stride + dy_stride);
  float* blocks = scratch_floats(thread_count() * block + parts_of_sums(size) * size);
  float* all = blocks + thread_count() * block;  // [parts, K, R * S * C]
  const int parts =
      parallel_sums(s.batch * windows.of_image(), kMostRows, size, [=](int thread, int part, int64_t begin, int64_t end) {
        float* sums = all + part * size;
        float* rows = blocks + thread * block;
        float* gradients = rows + kMostRows * x_stride;
        std::fill(rows, rows + kMostRows * x_stride, 0.0f);  // for the columns behind R * S * C
        for (int64_t first = begin; first < end; first += kMostRows) {
          const int64_t count = std::min(kMostRows, end - first);
          for (int64_t i = 0; i < count; ++i) {
            gather(x, windows, first + i, rows + i * x_stride);
            copy(dy + (first + i) * out, out, gradients + i * dy_stride);
          }
          for (int64_t k = 0; k < out; k += kChunk) {
            add_transposed(std::min(kChunk, out - k), columns, count, gradients + k, dy_stride, rows, x_stride,
                           sums + k * columns, columns, first == begin);
          }
        }
      });
  W* dw = static_cast<W*>(args.dw);
  parallel_ranges(out, 1, [=](int, int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      for_blocks<1>(depth, [=](int64_t j, auto extent) {
        Floats total{};
        for (int part = 0; part < parts; ++part) {
          total += load(all + part * size + k * columns + j, extent);
        }
        store(dw + k * depth + j, total, extent);
      });
    }
  });
}

}  // namespace

void run(const DirectForward& args, Stream&) {
  visit_float(args.pass.dtype, [&]<class T>() { forward<T>(args.pass); });
}

void run(const DirectBackwardData& args, Stream&) {
  visit_float(args.pass.dtype, [&]<class T>() { backward_data<T>(args.pass); });
}

void run(const DirectBackwardWeights& args, Stream&) {
  visit_float(args.pass.dtype,
              [&]<class T>() { visit_float(args.pass.dw_dtype, [&]<class W>() { backward_weights<T, W>(args.pass); }); });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(DirectForward)
RESIDUA_CPU_KERNEL(DirectBackwardData)
RESIDUA_CPU_KERNEL(DirectBackwardWeights)
