#pragma once

#include <span>

#include "core/data/codecs/region.h"

namespace residua {

bool is_jpeg(std::span<const uint8_t> bytes);

/// Size from the JPEG header.
ImageSize jpeg_size(std::span<const uint8_t> bytes, const std::string& name);

/// `decode` for JPEG, by libjpeg-turbo: entropy decoding stops below the region, and only the region's columns are transformed.
void decode_jpeg(std::span<const uint8_t> bytes, const std::string& name, const RegionChooser& choose, Image& out);

}  // namespace residua
