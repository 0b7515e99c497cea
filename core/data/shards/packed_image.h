#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/data/codecs/resize.h"
#include "core/data/source.h"

namespace residua {

struct PackOptions;

/// An image as a shard stores it.
struct PackedImage {
  std::vector<uint8_t> bytes;
  std::string ending;  // of the member's name, from the contents: "jpg", "png", "bmp", "ppm"
  bool encoded = false;
  bool undecodable = false;
};

/// Memory that is used from image to image.
struct PackScratch {
  EncodedImage encoded;
  Image image;
  Image scaled;
  ResizeMemory resize;
};

/// Reads image i and encodes it: raw pixels as PPM, which loses nothing; an image whose shorter side has more pixels than the
/// options say as a JPEG of that size; and an image that the options say to turn as a JPEG. All others keep their bytes. A JPEG
/// that is not turned keeps the orientation of its EXIF data.
void pack_image(const ImageSource& source, int64_t i, const PackOptions& options, PackScratch& scratch, PackedImage& out);

/// The key of sample i: its number, and what its name has before the dot: "00000042-n01440764_10026". Keys have no dot and are
/// ASCII, so that each program splits a member's name alike.
std::string sample_key(const ImageSource& source, int64_t i);

}  // namespace residua
