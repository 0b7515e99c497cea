// Grid-stride; a thread computes one pixel of y at a time. Four 16-bit channels are one store of 8 bytes; other numbers of
// channels are stored one by one. Each byte of y crosses device memory once, and so does each source byte inside a window.
#include "core/kernels/prepare_input.h"

#include "cuda/device/unflatten.cuh"
#include "cuda/device/vec.cuh"

namespace residua::cuda {
namespace {

/// `Channels` is the number of channels of y; 0 means any.
template <class T, int Channels>
__global__ void prepare_input_kernel(PrepareInput args, Unflatten unflatten, int64_t pixels) {
  for (int64_t i = global_thread(); i < pixels; i += grid_threads()) {
    const auto at = unflatten(i);
    const SampleView& view = args.views[at.image];
    const int64_t w = view.flip != 0 ? args.width - 1 - at.column : at.column;
    const int64_t row = at.row + view.top;
    const int64_t column = w + view.left;
    const bool inside = row >= 0 && row < args.in_height && column >= 0 && column < args.in_width;
    const int64_t pixel = inside ? row * args.in_width + column : 0;
    const uint8_t* source = args.source + (at.image * args.in_height * args.in_width + pixel) * args.in_channels;
    const float* mean = args.mean + (args.per_pixel_mean != 0 ? pixel * args.in_channels : 0);
    const auto value = [&](int64_t c) {
      if (!inside || c >= args.in_channels) {
        return 0.0f;
      }
      return (widen(source[c]) - (mean[c] - (c < 3 ? view.color_shift[c] : 0.0f))) * args.inverse_std[c];
    };
    if constexpr (Channels > 0) {
      float y[Channels];
#pragma unroll
      for (int c = 0; c < Channels; ++c) {
        y[c] = value(c);
      }
      store(static_cast<T*>(args.y) + i * Channels, y);
    } else {
      for (int64_t c = 0; c < args.channels; ++c) {
        static_cast<T*>(args.y)[i * args.channels + c] = narrow<T>(value(c));
      }
    }
  }
}

}  // namespace

void run(const PrepareInput& args, Stream& stream) {
  const int64_t pixels = args.batch * args.height * args.width;
  visit_float(args.dtype, [&]<class T>() {
    const bool four = args.channels == 4 && aligned_to(4 * sizeof(T), static_cast<const T*>(args.y));
    launch(stream, grid_for(stream, pixels), four ? prepare_input_kernel<T, 4> : prepare_input_kernel<T, 0>, args,
           Unflatten(args.height, args.width, 1), pixels);
  });
}

}  // namespace residua::cuda
