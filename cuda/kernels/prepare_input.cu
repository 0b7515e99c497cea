// The usual images, three channels in and four out, have a kernel of their own. A thread computes a column of four pixels of y.
// It looks up the view, the column and the channels' constants once, and loads all bytes before the first use. Threads of a
// warp are neighbors in a row, so that their stores are adjacent; a pixel is one store of 8 bytes in 16 bits.
//
// The bytes are loaded one by one: windows begin anywhere, and to shift and split words takes more instructions than that.
//
// In the kernel for other channels a thread computes one pixel of y at a time, channel by channel. Both are grid-stride. Each
// byte of y crosses device memory once, and so does each source byte inside a window.
#include "core/kernels/prepare_input.h"

#include "cuda/device/unflatten.cuh"
#include "cuda/device/vec.cuh"

namespace residua::cuda {
namespace {

constexpr int kRows = 4;          // of y, that a thread computes together
constexpr int kIn = 3, kOut = 4;  // channels of the usual images

__device__ inline int64_t source_column(const PrepareInput& args, const SampleView& view, int64_t column) {
  return view.left + (view.flip != 0 ? args.width - 1 - column : column);
}

/// Whether 0 <= i < size.
__device__ inline bool within(int64_t i, int64_t size) { return static_cast<uint64_t>(i) < static_cast<uint64_t>(size); }

__device__ inline float normalized(uint8_t source, float mean, float shift, float inverse_std) {
  return (widen(source) - (mean - shift)) * inverse_std;
}

template <class T, bool PerPixelMean>
__global__ void usual_kernel(PrepareInput args, Unflatten unflatten, int64_t items) {
  float mean[kRows][kIn];
  float inverse_std[kIn];
#pragma unroll
  for (int c = 0; c < kIn; ++c) {
    inverse_std[c] = args.inverse_std[c];
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      mean[r][c] = PerPixelMean ? 0.0f : args.mean[c];
    }
  }
  for (int64_t i = global_thread(); i < items; i += grid_threads()) {
    const auto at = unflatten(i);
    const SampleView view = args.views[at.image];
    const uint8_t* image = args.source + at.image * args.in_height * args.in_width * kIn;
    const int64_t first = at.row * kRows;
    const int64_t row = first + view.top;
    const int64_t column = source_column(args, view, at.column);
    const bool column_inside = within(column, args.in_width);
    uint8_t source[kRows][kIn];
    bool inside[kRows];
    int64_t place = (row * args.in_width + column) * kIn;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      inside[r] = column_inside && within(row + r, args.in_height);
      const int64_t from = inside[r] ? place : 0;
#pragma unroll
      for (int c = 0; c < kIn; ++c) {
        source[r][c] = image[from + c];
        if constexpr (PerPixelMean) {
          mean[r][c] = args.mean[from + c];
        }
      }
      place += args.in_width * kIn;
    }
    T* y = static_cast<T*>(args.y) + ((at.image * args.height + first) * args.width + at.column) * kOut;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      float out[kOut] = {};
#pragma unroll
      for (int c = 0; c < kIn; ++c) {
        out[c] = inside[r] ? normalized(source[r][c], mean[r][c], view.color_shift[c], inverse_std[c]) : 0.0f;
      }
      if (first + r < args.height) {
        store(y, out);
      }
      y += args.width * kOut;
    }
  }
}

template <class T>
__global__ void any_channels_kernel(PrepareInput args, Unflatten unflatten, int64_t pixels) {
  for (int64_t i = global_thread(); i < pixels; i += grid_threads()) {
    const auto at = unflatten(i);
    const SampleView& view = args.views[at.image];
    const int64_t row = at.row + view.top;
    const int64_t column = source_column(args, view, at.column);
    const bool inside = within(row, args.in_height) && within(column, args.in_width);
    const int64_t pixel = inside ? row * args.in_width + column : 0;
    const uint8_t* source = args.source + (at.image * args.in_height * args.in_width + pixel) * args.in_channels;
    const float* mean = args.mean + (args.per_pixel_mean != 0 ? pixel * args.in_channels : 0);
    T* y = static_cast<T*>(args.y) + i * args.channels;
    for (int64_t c = 0; c < args.channels; ++c) {
      const bool has = inside && c < args.in_channels;
      y[c] = narrow<T>(has ? normalized(source[c], mean[c], c < 3 ? view.color_shift[c] : 0.0f, args.inverse_std[c]) : 0.0f);
    }
  }
}

template <class T>
void run(const PrepareInput& args, Stream& stream) {
  const bool usual = args.in_channels == kIn && args.channels == kOut && aligned_to(kOut * sizeof(T), static_cast<T*>(args.y));
  if (usual) {
    const int64_t bands = (args.height + kRows - 1) / kRows;
    const int64_t items = args.batch * bands * args.width;
    visit_bool(args.per_pixel_mean != 0, [&](auto per_pixel_mean) {
      launch(stream, grid_for(stream, items), usual_kernel<T, per_pixel_mean()>, args, Unflatten(bands, args.width, 1), items);
    });
  } else {
    const int64_t pixels = args.batch * args.height * args.width;
    launch(stream, grid_for(stream, pixels), any_channels_kernel<T>, args, Unflatten(args.height, args.width, 1), pixels);
  }
}

}  // namespace

void run(const PrepareInput& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() { run<T>(args, stream); });
}

}  // namespace residua::cuda
