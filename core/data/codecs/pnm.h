#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/data/codecs/region.h"

namespace residua {

/// Whether the bytes begin as a PNM file with binary samples does: P5 (gray) or P6 (RGB).
bool is_pnm(std::span<const uint8_t> bytes);

/// The size in the header. Fails with Error, which names the file, if the header is damaged.
ImageSize pnm_size(std::span<const uint8_t> bytes, const std::string& name);

/// Decodes the region that `choose` picks. Fails with Error, which names the file, if the file is damaged or ends early.
void decode_pnm(std::span<const uint8_t> bytes, const std::string& name, const RegionChooser& choose, Image& out);

}  // namespace residua
