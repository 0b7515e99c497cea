#pragma once

#include <span>

#include "core/data/codecs/region.h"

namespace residua {

/// Whether the first bytes are those of PNG, BMP or binary PNM (P5, P6).
bool is_raster(std::span<const uint8_t> bytes);

ImageSize raster_size(std::span<const uint8_t> bytes, const std::string& name);

/// `decode` for PNG and BMP with stb_image, plus checks that stb_image lacks: a PNG's checksums and truncated data. PNM has its
/// own decoder, because stb_image ignores its sample range and byte order.
void decode_raster(std::span<const uint8_t> bytes, const std::string& name, const RegionChooser& choose, Image& out);

}  // namespace residua
