#include "core/data/shards/packed_image.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "core/base/error.h"
#include "core/data/codecs/decode.h"
#include "core/data/codecs/exif.h"
#include "core/data/codecs/jpeg_encode.h"
#include "core/data/codecs/resize.h"
#include "core/data/shards/pack.h"

namespace residua {
namespace {

const char* ending_of(std::span<const uint8_t> bytes) {
  switch (image_format(bytes)) {
    case ImageFormat::png: return "png";
    case ImageFormat::bmp: return "bmp";
    case ImageFormat::pnm: return bytes[1] == '5' ? "pgm" : "ppm";
    case ImageFormat::jpeg:
    case ImageFormat::unknown: break;
  }
  return "jpg";
}

bool is_larger(ImageSize size, std::optional<int64_t> shorter_side) {
  return shorter_side && std::min(size.height, size.width) > *shorter_side;
}

/// Turns and scales the image as the options say, and encodes it.
void encode(const EncodedImage& encoded, const std::string& name, const PackOptions& options, PackScratch& scratch,
            PackedImage& out) {
  decode(encoded, name, whole, scratch.image,
         {.orientation = options.turns_by_exif ? Orientation::exif : Orientation::as_stored, .max_pixels = options.max_pixels});
  const ImageSize size = scratch.image.size();
  const ImageSize resized = is_larger(size, options.shorter_side) ? with_shorter_side(size, *options.shorter_side) : size;
  scratch.scaled.reset(resized);
  scale({.domain = whole(size), .resized = resized, .window = whole(resized)}, scratch.image, scratch.scaled.pixels.data(),
        scratch.resize);
  const bool jpeg = encoded.encoding == EncodedImage::Encoding::file && image_format(encoded.bytes) == ImageFormat::jpeg;
  const int orientation = jpeg && !options.turns_by_exif ? exif_orientation(encoded.bytes) : 1;
  encode_jpeg(scratch.scaled, options.quality, out.bytes,
              orientation == 1 ? std::vector<uint8_t>() : exif_segment(orientation));
  out.ending = "jpg";
  out.encoded = true;
}

}  // namespace

void pack_image(const ImageSource& source, int64_t i, const PackOptions& options, PackScratch& scratch, PackedImage& out) {
  const std::string name = source.name(i);
  const EncodedImage& image = scratch.encoded;
  source.read(i, scratch.encoded);
  const bool raw = image.encoding == EncodedImage::Encoding::rgb;
  out.encoded = out.undecodable = false;
  const bool turns =
      options.turns_by_exif && !raw && image_format(image.bytes) == ImageFormat::jpeg && exif_orientation(image.bytes) != 1;
  if (options.shorter_side || turns) {
    try {
      if (turns || is_larger(raw ? image.size : image_size(image.bytes, name), options.shorter_side)) {
        encode(image, name, options, scratch, out);
        return;
      }
    } catch (const Error&) {
      out.undecodable = true;
    }
  }
  out.bytes.clear();
  if (raw) {
    const std::string header = fmt::format("P6\n{} {}\n255\n", image.size.width, image.size.height);
    out.bytes.assign(header.begin(), header.end());
  }
  out.bytes.insert(out.bytes.end(), image.bytes.begin(), image.bytes.end());
  out.ending = ending_of(out.bytes);
}

std::string sample_key(const ImageSource& source, int64_t i) {
  constexpr size_t kMost = 64;
  std::string stem = std::filesystem::path(source.name(i)).filename().string();
  stem.resize(std::min({stem.size(), stem.find('.'), kMost}));
  std::ranges::replace_if(
      stem, [](unsigned char c) { return c >= 0x80 || (std::isalnum(c) == 0 && c != '-' && c != '_'); }, '_');
  return stem.empty() ? fmt::format("{:08}", i) : fmt::format("{:08}-{}", i, stem);
}

}  // namespace residua
