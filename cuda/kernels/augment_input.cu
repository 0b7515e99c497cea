// A thread makes a pixel of y at a time, grid-stride: four channels of 16 bits leave as one store of 8 bytes, other numbers of
// channels one by one. The filter is evaluated where it is used, in both dimensions at once: shrinking by s it reads (2 s)^2
// source pixels for each of y, out of the caches, and it is arithmetic that bounds the kernel. Each byte crosses device memory
// once.
#include "core/kernels/augment_input.h"

#include "cuda/device/unflatten.cuh"
#include "cuda/device/vec.cuh"

namespace residua::cuda {
namespace {

/// The region's pixels [first, end) of one dimension that an output pixel averages. Pixel first + t is distance + t * step from
/// the middle of the filter, in units of its radius.
struct Taps {
  int first, end;
  float distance, step;

  /// Of pixel `out` of the resized image. Which pixels may lie in the filter is estimated in fp32, generously; how far they lie
  /// from its middle is exact up to the last rounding.
  __device__ Taps(int64_t out, int64_t domain, int64_t resized, int64_t region_first, int64_t region_size) {
    const int64_t longer = domain > resized ? domain : resized;
    const float scale = static_cast<float>(domain) / static_cast<float>(resized);
    const float radius = scale > 1 ? scale : 1;
    const float middle = (static_cast<float>(out) + 0.5f) * scale - static_cast<float>(region_first);
    first = static_cast<int>(floorf(middle - radius - 0.5f));
    first = first < 0 ? 0 : first;
    end = static_cast<int>(ceilf(middle + radius + 0.5f));
    end = end < region_size ? end : static_cast<int>(region_size);
    const int64_t offset = (2 * (first + region_first) + 1) * resized - (2 * out + 1) * domain;
    distance = static_cast<float>(offset) / static_cast<float>(2 * longer);
    step = static_cast<float>(resized) / static_cast<float>(longer);
  }

  __device__ float weight(int pixel) const {
    const float w = 1 - fabsf(distance + static_cast<float>(pixel - first) * step);
    return w < 0 ? 0 : w;
  }
};

/// Channels is that of y, or 0: any.
template <class T, int Channels>
__global__ void augment_input_kernel(AugmentInput args, Unflatten unflatten, int64_t pixels) {
  for (int64_t index = global_thread(); index < pixels; index += grid_threads()) {
    const auto at = unflatten(index);
    const AugmentImage& image = args.images[at.image];
    const int64_t i = at.row + image.top;
    const int64_t j = (image.flip != 0 ? args.width - 1 - at.column : at.column) + image.left;
    float color[3] = {};
    if (image.region_height > 0 && i >= 0 && i < args.height && j >= 0 && j < args.width) {
      const Taps rows(i + image.window_top, image.domain_height, image.resized_height, image.region_top, image.region_height);
      const Taps columns(j + image.window_left, image.domain_width, image.resized_width, image.region_left, image.region_width);
      const int pitch = static_cast<int>(image.region_width) * 3;
      const uint8_t* line = args.source + image.offset + static_cast<int64_t>(rows.first) * pitch + columns.first * 3;
      float weights = 0;
      for (int h = rows.first; h < rows.end; ++h, line += pitch) {
        const float row_weight = rows.weight(h);
        const uint8_t* pixel = line;
#pragma unroll 4
        for (int w = columns.first; w < columns.end; ++w, pixel += 3) {
          const float weight = row_weight * columns.weight(w);
          weights += weight;
#pragma unroll
          for (int c = 0; c < 3; ++c) {
            color[c] += weight * widen(pixel[c]);
          }
        }
      }
      const float* mean = args.mean + (args.per_pixel_mean != 0 ? (i * args.width + j) * 3 : 0);
#pragma unroll
      for (int c = 0; c < 3; ++c) {
        const float shift = args.color_shift == nullptr ? 0 : args.color_shift[at.image * 3 + c];
        color[c] = (color[c] / weights + shift - mean[c]) * args.inverse_std[c];
      }
    }
    T* y = static_cast<T*>(args.y) + index * args.channels;
    if constexpr (Channels > 0) {
      const float padded[Channels] = {color[0], color[1], color[2]};
      store(y, padded);
    } else {
#pragma unroll
      for (int c = 0; c < 3; ++c) {
        y[c] = narrow<T>(color[c]);
      }
      for (int64_t c = 3; c < args.channels; ++c) {
        y[c] = narrow<T>(0);
      }
    }
  }
}

}  // namespace

void run(const AugmentInput& args, Stream& stream) {
  const int64_t pixels = args.batch * args.height * args.width;
  visit_float(args.dtype, [&]<class T>() {
    const bool four = args.channels == 4 && aligned_to(4 * sizeof(T), static_cast<const T*>(args.y));
    launch(stream, grid_for(stream, pixels), four ? augment_input_kernel<T, 4> : augment_input_kernel<T, 0>, args,
           Unflatten(args.height, args.width, 1), pixels);
  });
}

}  // namespace residua::cuda
