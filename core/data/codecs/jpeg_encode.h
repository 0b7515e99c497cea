#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/data/codecs/image.h"

namespace residua {

/// Replaces `out` by a baseline JPEG of the image: chroma at half the resolution, Huffman tables made for the image. `quality`
/// is libjpeg's, from 1 to 100. `app1` is the contents of an APP1 segment, such as EXIF data; empty: no segment. The bytes
/// depend on these arguments and on the version of libjpeg-turbo alone.
void encode_jpeg(const Image& image, int64_t quality, std::vector<uint8_t>& out, std::span<const uint8_t> app1 = {});

}  // namespace residua
