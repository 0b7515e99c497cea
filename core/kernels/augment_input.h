#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"

namespace residua {

/// Where one image of a batch comes from, in pixels: a Placement (core/data/augment.h) and the region of the source that it
/// needs, decoded.
struct AugmentImage {
  int64_t offset;                         // bytes from `source` to the region's first pixel
  int64_t region_height, region_width;    // 0: there is no image, and y is 0
  int64_t region_top, region_left;        // in the domain
  int64_t domain_height, domain_width;    // the rectangle that is scaled ...
  int64_t resized_height, resized_width;  // ... to this size
  int64_t window_top, window_left;        // what is kept of that; as large as y
  int64_t top, left;                      // where y begins in the window; may be negative
  int64_t flip;                           // 0 or 1
};

/// A network's input from decoded pixels: scale (core/data/codecs/resize.h), cut, mirror, shift the color, subtract the mean,
/// scale. y[n, h, w, c] = (window[i, j, c] + color_shift[n, c] - mean[i, j, c]) * inverse_std[c] with i = h + top, j = w' +
/// left, w' = w or, flipped, width - 1 - w. The window has the pixels that `scale` would make, before they are rounded to
/// bytes. Outside of it, and in channels past the third, y is 0.
struct AugmentInput {
  DType dtype;  // of y
  int64_t batch;
  int64_t height, width, channels;  // of y; channels >= 3
  const uint8_t* source;            // regions [region_height, region_width, 3], 0 to 255, anywhere
  const AugmentImage* images;       // [batch]
  const float* color_shift;         // [batch, 3] unit of source, or null (Krizhevsky et al. 2012, section 4.1)
  const float* mean;                // [3], or [height, width, 3] when per_pixel_mean; unit of source
  int32_t per_pixel_mean;           // 0 or 1
  const float* inverse_std;         // [3]
  void* y;                          // overwritten
};

namespace cpu {
void run(const AugmentInput& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const AugmentInput& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
