#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "core/data/image.h"

namespace residua {

/// Images with more pixels than this are refused before anything is allocated for them.
inline constexpr int64_t kMaxImagePixels = int64_t{1} << 28;

/// Given the size that an image's header states, picks the part of it that is wanted.
using RegionChooser = std::function<Rect(ImageSize)>;

/// Decodes an image into RGB: the region that `choose` picks, and of a JPEG little more than that region. The pixels are those
/// of the whole decode. JPEG, PNG, BMP and PNM are told apart by their first bytes, whatever the file is called. Greyscale is
/// replicated, alpha dropped, 16-bit samples cut to 8, CMYK converted as R = (255 - C)(255 - K)/255; EXIF orientation is
/// ignored, as torchvision does. Fails, naming `name`, on anything else and on empty, damaged, truncated or oversized data;
/// damage below the region of a JPEG is not seen.
void decode(std::span<const uint8_t> bytes, const std::string& name, const RegionChooser& choose, Image& out);

/// Decodes the whole image.
Image decode(std::span<const uint8_t> bytes, const std::string& name);

/// The size that the header states; checks the format and the limit on pixels, and decodes nothing.
ImageSize image_size(std::span<const uint8_t> bytes, const std::string& name);

/// Fails unless 0 < height * width <= kMaxImagePixels.
void check_image_size(ImageSize size, const std::string& name);

/// Fails unless `region` is a non-empty part of an image of `size`.
void check_region(ImageSize size, const Rect& region, const std::string& name);

}  // namespace residua
