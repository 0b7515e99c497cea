#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/data/principal_colors.h"
#include "core/data/source.h"

namespace residua {

class Communicator;
struct LoaderOptions;

/// Mean and standard deviation of each channel over all pixels, in units of a pixel value (0 to 255).
struct ChannelStatistics {
  std::array<float, 3> mean;
  std::array<float, 3> std;
};

/// ImageNet's statistics as torchvision's models expect them, times 255.
inline constexpr ChannelStatistics kImageNetStatistics{{123.675f, 116.28f, 103.53f}, {58.395f, 57.12f, 57.375f}};

/// Statistics of a set of images, over their center views of size x size pixels.
struct ImageStatistics {
  int64_t images = 0;                  // those that can be read
  int64_t size = 0;                    // pixels
  std::vector<float> mean_image = {};  // [size, size, 3], 0 to 255: the mean that He et al. 2015 subtract
  ChannelStatistics channels{};
  PrincipalColors colors{};
};

/// The name of a mean image's tensor, f32 [size, size, 3], in a safetensors file.
inline constexpr const char* kMeanImage = "input.mean";

/// Three channel values from 0 to 1 in units of a pixel value.
std::array<float, 3> in_pixel_units(std::span<const double> channels);

/// Called now and then while images are measured. Several ranks call it together, with the images of all of them.
using MeasureProgress = std::function<void(int64_t done, int64_t total)>;

/// Measures the center views of size x size pixels of all images; of `options`, the workers, the limits on bad images and
/// `turns_by_exif` count.
/// Unless all images are size x size pixels, the mean image is that of the views and of their mirror images, as training sees
/// both. Of several ranks, each measures its share, and all get the result. The sums are exact, so it does not depend on the
/// number of workers or ranks. Bad images do not count: a warning names them. Fails with Error on all ranks if there are too
/// many, or if no image can be read.
ImageStatistics measure_images(const std::shared_ptr<const ImageSource>& source, int64_t size, const LoaderOptions& options,
                               const MeasureProgress& progress = {}, Communicator* ranks = nullptr);

/// The mean of each channel over the pixels of a mean image [pixels, 3].
std::array<float, 3> channel_means(const std::vector<float>& mean_image);

}  // namespace residua
