#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/kinds.h"
#include "core/config/settings.h"
#include "core/data/views/view.h"

namespace residua {

/// The mean to subtract from images. pixel: the training set's mean image (He et al. 2015, section 3.4). channel: its mean per
/// channel. values: given means per channel. file: the mean image of a file. by_source: pixel if all images have the size of
/// the input, channel if they all have another size, ImageNet's mean per channel if sizes vary.
enum class MeanKind : uint8_t { by_source, pixel, channel, values, file };

inline constexpr const char* kWantedMean = "pixel, channel, three numbers R,G,B from 0 to 1, or a safetensors file that exists";

/// How images become the network's input.
struct InputOptions {
  std::string view = "none";              // augmentation of training images: a registered name
  Kinds<ViewKind> views = {};             // with their own options
  std::optional<int64_t> crop_size = {};  // side in pixels; default: the images' own size
  MeanKind mean = MeanKind::by_source;
  std::array<double, 3> mean_values = {};  // red, green, blue from 0 to 1, if `mean` is values
  std::string mean_file = {};              // safetensors, if `mean` is file
  std::vector<double> std = {};            // red, green, blue from 0 to 1; empty: chosen as for `mean`
  bool no_shuffle = false;                 // training images in the data set's order
};

void declare(Settings& settings, InputOptions& options);

}  // namespace residua
