#include "core/data/codecs/decode.h"

#include <cstring>
#include <string_view>

#include "core/base/error.h"
#include "core/config/settings.h"
#include "core/data/codecs/exif.h"
#include "core/data/codecs/jpeg.h"
#include "core/data/codecs/raster.h"

namespace residua {
namespace {

bool starts_with(std::span<const uint8_t> bytes, size_t offset, std::string_view magic) {
  return bytes.size() >= offset + magic.size() && std::memcmp(bytes.data() + offset, magic.data(), magic.size()) == 0;
}

void copy_region(const EncodedImage& image, const std::string& name, const RegionChooser& choose, Image& out) {
  const Rect region = choose(image.size);
  check_region(image.size, region, name);
  out.reset({region.height, region.width});
  for (int64_t y = 0; y < region.height; ++y) {
    std::memcpy(out.row(y), image.bytes.data() + ((region.top + y) * image.size.width + region.left) * 3,
                static_cast<size_t>(region.width) * 3);
  }
}

[[noreturn]] void fail_format(std::span<const uint8_t> bytes, const std::string& name) {
  std::string_view kind = "not an image in a known format";
  if (bytes.empty()) {
    kind = "an empty file";
  } else if (starts_with(bytes, 0, "RIFF") && starts_with(bytes, 8, "WEBP")) {
    kind = "a WebP image";
  } else if (starts_with(bytes, 0, "GIF8")) {
    kind = "a GIF image";
  } else if (starts_with(bytes, 0, "II*") || starts_with(bytes, 0, "MM")) {
    kind = "a TIFF image";
  } else if (bytes.size() >= 2 && bytes[0] == 'P' && bytes[1] >= '1' && bytes[1] <= '7') {
    kind = "a PNM image that is neither P5 nor P6";
  }
  fail("{}: {}; wanted JPEG, PNG, BMP or PNM", name, kind);
}

void decode_turned_jpeg(std::span<const uint8_t> bytes, const std::string& name, const RegionChooser& choose, Turn turn,
                        Image& out) {
  Image stored;
  const auto choose_stored = [&](ImageSize size) {
    const Rect region = choose(turned(size, turn));
    check_region(turned(size, turn), region, name);
    return stored_region(size, region, turn);
  };
  decode_jpeg(bytes, name, choose_stored, stored);
  apply(turn, stored, out);
}

}  // namespace

void declare_max_pixels(Settings& settings, int64_t& max_pixels) {
  settings.number(
      "max-pixels", max_pixels, between(1, kMaxImagePixels),
      "Refuse images with more pixels, as if they could not be read. The size is read from the header, before memory is "
      "allocated.");
}

ImageFormat image_format(std::span<const uint8_t> bytes) {
  if (is_jpeg(bytes)) {
    return ImageFormat::jpeg;
  }
  if (!is_raster(bytes)) {
    return ImageFormat::unknown;
  }
  return bytes[0] == 'B' ? ImageFormat::bmp : bytes[0] == 'P' ? ImageFormat::pnm : ImageFormat::png;
}

void decode(std::span<const uint8_t> bytes, const std::string& name, const RegionChooser& choose, Image& out,
            const DecodeOptions& options) {
  // Decoders ask for the region before they allocate anything for pixels.
  const auto checked = [&](ImageSize size) {
    check_pixels(size, options.max_pixels, name);
    return choose(size);
  };
  if (is_jpeg(bytes)) {
    const Turn turn = options.orientation == Orientation::exif ? exif_turn(bytes) : Turn{};
    if (turn == Turn{}) {
      decode_jpeg(bytes, name, checked, out);
    } else {
      decode_turned_jpeg(bytes, name, checked, turn, out);
    }
  } else if (is_raster(bytes)) {
    decode_raster(bytes, name, checked, out);
  } else {
    fail_format(bytes, name);
  }
}

void decode(const EncodedImage& image, const std::string& name, const RegionChooser& choose, Image& out,
            const DecodeOptions& options) {
  if (image.encoding == EncodedImage::Encoding::rgb) {
    copy_region(image, name, choose, out);
  } else {
    decode(image.bytes, name, choose, out, options);
  }
}

Image decode(std::span<const uint8_t> bytes, const std::string& name) {
  Image image;
  decode(bytes, name, whole, image);
  return image;
}

ImageSize image_size(std::span<const uint8_t> bytes, const std::string& name) {
  if (is_jpeg(bytes)) {
    return jpeg_size(bytes, name);
  }
  if (is_raster(bytes)) {
    return raster_size(bytes, name);
  }
  fail_format(bytes, name);
}

}  // namespace residua
