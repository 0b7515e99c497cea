#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/data/codecs/image.h"

namespace residua {

/// Images with more pixels than this are refused before anything is allocated for them.
inline constexpr int64_t kMaxImagePixels = int64_t{1} << 28;

/// Given the size that an image's header states, picks the part of it that is wanted.
using RegionChooser = std::function<Rect(ImageSize)>;

/// Fails unless 0 < height * width <= kMaxImagePixels.
void check_image_size(ImageSize size, const std::string& name);

/// Fails unless `region` is a non-empty part of an image of `size`.
void check_region(ImageSize size, const Rect& region, const std::string& name);

}  // namespace residua
