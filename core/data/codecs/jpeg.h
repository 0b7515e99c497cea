#pragma once

#include <span>

#include "core/data/codecs/region.h"

namespace residua {

bool is_jpeg(std::span<const uint8_t> bytes);

/// The size in the JPEG header.
ImageSize jpeg_size(std::span<const uint8_t> bytes, const std::string& name);

/// Whether the JPEG header says CMYK or YCCK, as files for print do.
bool is_cmyk_jpeg(std::span<const uint8_t> bytes, const std::string& name);

/// `decode` for JPEG, with libjpeg-turbo. Entropy decoding stops below the region, and the inverse DCT covers only the region's
/// columns.
void decode_jpeg(std::span<const uint8_t> bytes, const std::string& name, const RegionChooser& choose, Image& out);

}  // namespace residua
