#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"

namespace residua {

/// What turns stored bytes into a network's input, per image: cut a window out of the source, mirror it, shift the color,
/// subtract the mean, scale. y[n, h, w, c] = (source[n, i, j, c] - (mean[i, j, c] - color_shift[n, c])) * inverse_std[c] with
/// i = h + top[n], j = w' + left[n], w' = w or, flipped, width - 1 - w. Outside of the source, and in channels past
/// `in_channels`, y is 0: the padding of He et al. 2015, section 4.2, which comes after the mean is subtracted.
struct PrepareInput {
  DType dtype;  // of y
  int64_t batch, in_height, in_width, in_channels;
  int64_t height, width, channels;  // of y; channels >= in_channels
  const uint8_t* source;            // [batch, in_height, in_width, in_channels], 0 to 255
  const int32_t* top;               // [batch] pixels, may be negative
  const int32_t* left;              // [batch]
  const uint8_t* flip;              // [batch] 0 or 1
  const float* color_shift;         // [batch, in_channels] unit of source, or null: 0
  const float* mean;                // [in_channels], or [in_height, in_width, in_channels] when per_pixel_mean; unit of source
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
