#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/data/codecs/image.h"

namespace residua {

/// An image as a source stores it: the bytes of an image file, or raw pixels. The bytes are in `storage`, or in memory that the
/// source owns.
struct EncodedImage {
  enum class Encoding : uint8_t { file, rgb };

  Encoding encoding = Encoding::file;
  std::span<const uint8_t> bytes;
  ImageSize size;                // for rgb: the bytes are [height, width, 3]
  std::vector<uint8_t> storage;  // its memory is reused from image to image

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
