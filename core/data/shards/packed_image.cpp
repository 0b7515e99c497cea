#include "core/data/shards/packed_image.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "core/base/error.h"
#include "core/data/codecs/decode.h"
#include "core/data/codecs/jpeg_encode.h"
#include "core/data/codecs/resize.h"

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

bool is_larger(ImageSize size, int64_t shorter_side) { return std::min(size.height, size.width) > shorter_side; }

/// Scales the image to the shorter side and encodes it.
void encode_scaled(const EncodedImage& encoded, const std::string& name, int64_t shorter_side, int64_t quality,
                   PackScratch& scratch, PackedImage& out) {
  decode(encoded, name, whole, scratch.image);
  const ImageSize size = scratch.image.size();
  const ImageSize resized = with_shorter_side(size, shorter_side);
  scratch.scaled.reset(resized);
  scale({.domain = whole(size), .resized = resized, .window = whole(resized)}, scratch.image, scratch.scaled.pixels.data(),
        scratch.resize);
  encode_jpeg(scratch.scaled, quality, out.bytes);
  out.ending = "jpg";
  out.encoded = true;
}

}  // namespace

void pack_image(const ImageSource& source, int64_t i, std::optional<int64_t> shorter_side, int64_t quality,
                PackScratch& scratch, PackedImage& out) {
  const std::string name = source.name(i);
  const EncodedImage& image = scratch.encoded;
  source.read(i, scratch.encoded);
  const bool raw = image.encoding == EncodedImage::Encoding::rgb;
  out.encoded = out.undecodable = false;
  if (shorter_side) {
    try {
      if (is_larger(raw ? image.size : image_size(image.bytes, name), *shorter_side)) {
        encode_scaled(image, name, *shorter_side, quality, scratch, out);
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
