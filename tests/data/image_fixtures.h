#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/data/codecs/image.h"

namespace residua::test {

/// Pixels (37 x + 91 y + 53 c + 7 x y) mod 256: no two rows, columns or channels are alike.
Image pattern_image(int64_t height, int64_t width);

/// Smooth gradients with some noise, as photos have, so that JPEG keeps it recognizable.
Image photo_image(int64_t height, int64_t width, uint64_t seed);

struct JpegSettings {
  int quality = 90;
  int horizontal_sampling = 2;  // of luminance over chroma
  int vertical_sampling = 2;
  bool progressive = false;
  bool arithmetic = false;
  bool gray = false;  // stores the red channel alone
  int restart_interval = 0;
  int scans = 0;  // of a gray progressive one, up to 694: one coefficient after the other, bit by bit
};

std::string encode_jpeg(const Image& image, const JpegSettings& settings = {});
/// The JPEG with EXIF data that has this orientation, as a number of `bytes` 2 or 4, in big-endian or little-endian order.
std::string with_orientation(const std::string& jpeg, int orientation, bool big_endian = true, int bytes = 2);
/// A JPEG of four channels as Adobe writes them: `inverted_cmyk` is [height, width, 4]; stored as YCCK or plain CMYK.
std::string encode_cmyk_jpeg(const std::vector<uint8_t>& inverted_cmyk, int64_t height, int64_t width, bool ycck);
std::string encode_png(const Image& image);
/// Channels 1 (gray), 2 (gray and alpha) or 4 (RGB and alpha); `pixels` is [height, width, channels].
std::string encode_png(const std::vector<uint8_t>& pixels, int64_t height, int64_t width, int channels);
std::string encode_bmp(const Image& image);

}  // namespace residua::test
