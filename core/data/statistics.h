#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/data/source.h"

namespace residua {

/// Mean and standard deviation of each channel over all pixels, in units of a pixel (0 to 255).
struct ChannelStatistics {
  std::array<float, 3> mean;
  std::array<float, 3> std;
};

/// What a network's input is made by: (pixel - mean) / std.
struct InputStatistics {
  std::vector<float> mean;   // [3], or [height, width, 3]: the mean image
  std::array<float, 3> std;  // of each channel
};

/// ImageNet's, as torchvision's models expect them (torchvision.transforms, times 255).
inline constexpr ChannelStatistics kImageNetStatistics{{123.675f, 116.28f, 103.53f}, {58.395f, 57.12f, 57.375f}};

/// Over at most `max_images` images spread evenly over the source. Images that cannot be decoded are left out; fails if none
/// can.
ChannelStatistics compute_channel_statistics(const ImageSource& source, int64_t max_images);

/// The mean image [height, width, 3], in units of a pixel, which He et al. 2015 subtract. The source must have images of one
/// size.
std::vector<float> compute_pixel_mean(const ImageSource& source, int64_t max_images);

}  // namespace residua
