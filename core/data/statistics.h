#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/data/source.h"

namespace residua {

/// Mean and standard deviation of each channel over all pixels, in units of a pixel value (0 to 255).
struct ChannelStatistics {
  std::array<float, 3> mean;
  std::array<float, 3> std;
};

/// The normalization of a network's input: (pixel - mean) / std.
struct InputStatistics {
  std::vector<float> mean;   // [3], or the mean image [height, width, 3]
  std::array<float, 3> std;  // of each channel
};

/// ImageNet's statistics as torchvision's models expect them, times 255.
inline constexpr ChannelStatistics kImageNetStatistics{{123.675f, 116.28f, 103.53f}, {58.395f, 57.12f, 57.375f}};

/// Computes the statistics over at most `max_images` images spread evenly over the source. Skips images that cannot be decoded;
/// fails if none can.
ChannelStatistics compute_channel_statistics(const ImageSource& source, int64_t max_images);

/// Computes the mean image [height, width, 3], in units of a pixel value, that He et al. 2015 subtract. All images of the
/// source must have the same size.
std::vector<float> compute_pixel_mean(const ImageSource& source, int64_t max_images);

}  // namespace residua
