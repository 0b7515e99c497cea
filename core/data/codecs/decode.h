#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "core/data/codecs/encoded_image.h"
#include "core/data/codecs/region.h"

namespace residua {

class Settings;

/// The formats of image files that can be decoded.
enum class ImageFormat : uint8_t { unknown, jpeg, png, bmp, pnm };

/// The format that the first bytes of a file show; its name has no say. kImageFormatBytes of them are enough.
ImageFormat image_format(std::span<const uint8_t> bytes);
inline constexpr size_t kImageFormatBytes = 16;

/// Whether to turn an image as the camera says.
enum class Orientation : uint8_t {
  as_stored,  // as torchvision does
  exif        // as viewers do, by a JPEG's EXIF data
};

struct DecodeOptions {
  Orientation orientation = Orientation::as_stored;
  int64_t max_pixels = kDefaultMaxPixels;  // images with more are rejected by their header
};

/// Declares the setting `max-pixels`.
void declare_max_pixels(Settings& settings, int64_t& max_pixels);

/// Decodes the region of an image that `choose` picks, as RGB. The pixels equal those of a full decode; of a JPEG, little more
/// than the region is decoded. The first bytes tell JPEG, PNG, BMP and PNM apart, not the file's name. Grayscale is replicated,
/// alpha is dropped, 16-bit samples are truncated to 8 bits, CMYK is converted as R = (255 - C)(255 - K)/255. With
/// Orientation::exif, the size that `choose` gets and the region are those of the turned image. Fails, naming `name`, on any
/// other format and on empty, damaged, truncated or oversized data. Damage below the region of a JPEG goes unnoticed; if a
/// region fails, so does the full decode.
void decode(std::span<const uint8_t> bytes, const std::string& name, const RegionChooser& choose, Image& out,
            const DecodeOptions& options = {});

/// The same for an image in either encoding.
void decode(const EncodedImage& image, const std::string& name, const RegionChooser& choose, Image& out,
            const DecodeOptions& options = {});

/// Decodes the whole image.
Image decode(std::span<const uint8_t> bytes, const std::string& name);

/// Returns the size in the header. Checks the format and the limit on pixels; decodes nothing.
ImageSize image_size(std::span<const uint8_t> bytes, const std::string& name);

}  // namespace residua
