#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"

namespace residua {

/// How the network sees one sample: a window of its source image, optionally flipped, with a color shift.
struct SampleView {
  int32_t top, left;     // of the window, in source pixels; may be negative
  int32_t flip;          // 0 or 1
  float color_shift[3];  // for the first three channels, in source units
};

/// Turns stored bytes into the network's input, per image: crops a window, flips it, shifts the color, subtracts the mean,
/// scales. With v = views[n], i = h + v.top, j = w' + v.left, and w' = w or, if flipped, width - 1 - w:
/// y[n, h, w, c] = (source[n, i, j, c] - (mean[i, j, c] - v.color_shift[c])) * inverse_std[c].
/// Outside the source, and in channels past `in_channels`, y is 0: the padding of He et al. 2015, section 4.2, applied after
/// the mean is subtracted.
struct PrepareInput {
  DType dtype;  // of y
  int64_t batch, in_height, in_width, in_channels;
  int64_t height, width, channels;  // of y; channels >= in_channels
  const uint8_t* source;            // [batch, in_height, in_width, in_channels], 0 to 255
  const SampleView* views;          // [batch]
  const float* mean;                // [in_channels], or [in_height, in_width, in_channels] if per_pixel_mean; in source units
  int32_t per_pixel_mean;           // 0 or 1
  const float* inverse_std;         // [in_channels]
  void* y;                          // overwritten
};

namespace cpu {
void run(const PrepareInput& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const PrepareInput& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
