#pragma once

#include <string>

#include "core/data/codecs/image.h"

namespace residua {

/// Replaces `out` by a PNG of the image, 8-bit RGB. Fails with Error on an image without pixels.
void encode_png(const Image& image, std::string& out);

}  // namespace residua
