#pragma once

#include <span>

#include "core/data/codecs/region.h"

namespace residua {

/// PNG, BMP and binary PNM (P5, P6), by their first bytes.
bool is_raster(std::span<const uint8_t> bytes);

ImageSize raster_size(std::span<const uint8_t> bytes, const std::string& name);

/// `decode` for PNG and BMP by stb_image, which leaves out a PNG's checksums and the end of the data: both are checked here.
/// PNM is read by own code, because stb_image ignores its sample range and byte order.
void decode_raster(std::span<const uint8_t> bytes, const std::string& name, const RegionChooser& choose, Image& out);

}  // namespace residua
