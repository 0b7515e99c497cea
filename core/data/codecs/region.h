#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/data/codecs/image.h"

namespace residua {

/// Larger images are rejected before anything is allocated for them.
inline constexpr int64_t kMaxImagePixels = int64_t{1} << 28;
/// The limit if the user gives none: 9,487 x 9,487. Python's Pillow, and so torchvision, warns of a decompression bomb above
/// 89,478,485.
inline constexpr int64_t kDefaultMaxPixels = 90'000'000;

/// Picks the region to decode, given the size in the image's header.
using RegionChooser = std::function<Rect(ImageSize)>;

/// Fails unless 0 < height * width <= kMaxImagePixels.
void check_image_size(ImageSize size, const std::string& name);

/// Fails if height * width is above `max_pixels`.
void check_pixels(ImageSize size, int64_t max_pixels, const std::string& name);

/// Fails unless `region` is a non-empty part of an image of `size`.
void check_region(ImageSize size, const Rect& region, const std::string& name);

}  // namespace residua
