#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/data/codecs/image.h"

namespace residua {

/// An image as a source stores it: the bytes of an image file, or pixels as they are. The bytes lie in `storage`, or in memory
/// that the source keeps.
struct EncodedImage {
  enum class Encoding : uint8_t { file, rgb };

  Encoding encoding = Encoding::file;
  std::span<const uint8_t> bytes;
  ImageSize size;                // of rgb, whose bytes are [height, width, 3]
  std::vector<uint8_t> storage;  // its memory is used again from one image to the next

  /// Sets `bytes` to all of `storage`.
  void set_file() {
    encoding = Encoding::file;
    bytes = storage;
  }
  void set_rgb(std::span<const uint8_t> pixels, ImageSize pixels_size) {
    encoding = Encoding::rgb;
    bytes = pixels;
    size = pixels_size;
  }
};

}  // namespace residua
