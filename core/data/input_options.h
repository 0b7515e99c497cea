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

/// What is subtracted from an image. pixel: the mean image of the training set (He et al. 2015, section 3.4). channel: its mean
/// color. values: a color that is given. by_source: pixel where all images have the size of the input, channel where they have
/// one other size, else ImageNet's mean color.
enum class MeanKind : uint8_t { by_source, pixel, channel, values };

/// How images become the network's input.
struct InputOptions {
  std::string view = "none";              // the augmentation of training images, by its registered name
  Kinds<ViewKind> views = {};             // with their own options
  std::optional<int64_t> crop_size = {};  // pixels a side; default: that of the images
  MeanKind mean = MeanKind::by_source;
  std::array<double, 3> mean_values = {};  // of red, green and blue, 0 to 1, where `mean` is values
  std::vector<double> std = {};            // the same, or empty: as `mean` has it
  bool no_shuffle = false;                 // training images in the order of the set
};

void declare(Settings& settings, InputOptions& options);

}  // namespace residua
