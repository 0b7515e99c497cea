#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/data/codecs/encoded_image.h"
#include "core/data/codecs/region.h"

namespace residua {

/// Decodes an image into RGB: the region that `choose` picks, and of a JPEG little more than that region. The pixels are those
/// of the whole decode. JPEG, PNG, BMP and PNM are told apart by their first bytes, whatever the file is called. Grayscale is
/// replicated, alpha dropped, 16-bit samples cut to 8, CMYK converted as R = (255 - C)(255 - K)/255; EXIF orientation is
/// ignored, as torchvision does. Fails, naming `name`, on anything else and on empty, damaged, truncated or oversized data;
/// damage below the region of a JPEG is not seen, and a region that fails fails with the whole.
void decode(std::span<const uint8_t> bytes, const std::string& name, const RegionChooser& choose, Image& out);

/// The same for an image of either encoding.
void decode(const EncodedImage& image, const std::string& name, const RegionChooser& choose, Image& out);

/// Decodes the whole image.
Image decode(std::span<const uint8_t> bytes, const std::string& name);

/// The size that the header states; checks the format and the limit on pixels, and decodes nothing.
ImageSize image_size(std::span<const uint8_t> bytes, const std::string& name);

}  // namespace residua
