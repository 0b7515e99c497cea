#include "core/data/codecs/raster.h"

#include <zlib.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "core/base/error.h"
#include "core/data/codecs/pnm.h"

namespace residua {
namespace {

/// The largest block that stb_image may allocate: a small PNG can expand without bound.
thread_local size_t allocation_limit = 0;

void* limited_allocate(size_t bytes) { return bytes <= allocation_limit ? std::malloc(bytes) : nullptr; }
void* limited_reallocate(void* block, size_t bytes) { return bytes <= allocation_limit ? std::realloc(block, bytes) : nullptr; }

}  // namespace
}  // namespace residua

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_MALLOC(bytes) residua::limited_allocate(bytes)
#define STBI_REALLOC(block, bytes) residua::limited_reallocate(block, bytes)
#define STBI_FREE(block) std::free(block)
#include <stb_image.h>

namespace residua {
namespace {

using Bytes = std::span<const uint8_t>;

bool is_png(Bytes bytes) { return bytes.size() >= 8 && std::memcmp(bytes.data(), "\x89PNG\r\n\x1a\n", 8) == 0; }
bool is_bmp(Bytes bytes) { return bytes.size() >= 2 && bytes[0] == 'B' && bytes[1] == 'M'; }

uint32_t big_endian(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

uint32_t little_endian(const uint8_t* bytes, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) {
    value |= uint32_t{bytes[i]} << (8 * i);
  }
  return value;
}

ImageSize png_size(Bytes bytes, const std::string& name) {
  constexpr size_t kHeaderBytes = 24;  // the signature, and IHDR up to the height
  if (bytes.size() < kHeaderBytes) {
    fail("{}: PNG ends early, at byte {}", name, bytes.size());
  }
  if (std::memcmp(bytes.data() + 12, "IHDR", 4) != 0) {
    fail("{}: PNG is damaged: it does not start with a header", name);
  }
  return {big_endian(bytes.data() + 20), big_endian(bytes.data() + 16)};
}

/// Also names BMP variants that are not supported; stb_image would report an unknown image type.
ImageSize bmp_size(Bytes bytes, const std::string& name) {
  constexpr size_t kFileHeaderBytes = 14;
  constexpr uint32_t kUncompressed = 0, kRle8 = 1, kRle4 = 2, kBitFields = 3;
  if (bytes.size() < kFileHeaderBytes + 12) {
    fail("{}: BMP ends early, at byte {}", name, bytes.size());
  }
  const uint8_t* header = bytes.data() + kFileHeaderBytes;
  const uint32_t header_bytes = little_endian(header, 4);
  if (header_bytes == 12) {
    return {little_endian(header + 6, 2), little_endian(header + 4, 2)};
  }
  if (header_bytes < 40 || bytes.size() < kFileHeaderBytes + 40) {
    fail("{}: BMP header is damaged: it states its own size as {} bytes", name, header_bytes);
  }
  const uint32_t compression = little_endian(header + 16, 4);
  if (compression == kRle8 || compression == kRle4) {
    fail("{}: a BMP with run-length encoding (RLE) is not supported; wanted an uncompressed one", name);
  }
  if (compression != kUncompressed && compression != kBitFields) {
    fail("{}: a BMP with compression {} is not supported; wanted an uncompressed one", name, compression);
  }
  const auto height = static_cast<int32_t>(little_endian(header + 8, 4));  // negative if rows are stored top-down
  return {std::abs(int64_t{height}), static_cast<int32_t>(little_endian(header + 4, 4))};
}

constexpr size_t kBitDepth = 24;  // where a PNG has it
constexpr size_t kColorType = 25;

struct PngPalette {
  size_t offset = 0;  // of its chunk; 0: there is none
  size_t bytes = 0;
};

/// Walks a PNG's chunks up to IEND and checks each CRC.
PngPalette check_png(Bytes bytes, const std::string& name) {
  size_t offset = 8;
  PngPalette palette;
  for (;;) {
    if (bytes.size() - offset < 12) {
      fail("{}: PNG ends early, at byte {}", name, bytes.size());
    }
    const uint8_t* chunk = bytes.data() + offset;
    const size_t length = big_endian(chunk);
    if (length > bytes.size() - offset - 12) {
      fail("{}: PNG ends early, at byte {}; a chunk needs {}", name, bytes.size(), offset + length + 12);
    }
    if (::crc32(0, chunk + 4, static_cast<uInt>(length + 4)) != big_endian(chunk + 8 + length)) {
      fail("{}: PNG is damaged: wrong checksum in the chunk at byte {}", name, offset);
    }
    if (std::memcmp(chunk + 4, "IEND", 4) == 0) {
      return palette;
    }
    if (std::memcmp(chunk + 4, "PLTE", 4) == 0 && palette.offset == 0) {
      palette = {offset, length};
    }
    offset += length + 12;
  }
}

/// The most bytes that stb_image needs in one block for a pixel of this PNG: four channels, of 8 or 16 bits.
int64_t png_pixel_bytes(Bytes bytes) { return bytes.size() > kBitDepth && bytes[kBitDepth] == 16 ? 8 : 4; }

/// Where an uncompressed BMP has what.
struct BmpLayout {
  size_t header_end = 0;  // where its palette begins, if it has one
  size_t first = 0;       // byte of the pixels
  size_t bits = 0;        // of a pixel
};

/// Fails if the BMP has fewer bytes than its pixels take, or if stb_image would decode it to other colors.
BmpLayout check_bmp(Bytes bytes, ImageSize size, const std::string& name) {
  const size_t header_bytes = little_endian(bytes.data() + 14, 4);
  const bool old = header_bytes == 12;
  const BmpLayout layout{.header_end = 14 + header_bytes,
                         .first = little_endian(bytes.data() + 10, 4),
                         .bits = little_endian(bytes.data() + (old ? 24 : 28), 2)};
  if (layout.first < layout.header_end) {
    fail("{}: BMP header is damaged: its pixels begin at byte {}, inside the header", name, layout.first);
  }
  if (old && layout.bits < 24) {
    fail("{}: a BMP of OS/2 with a palette is not supported; wanted one of Windows", name);
  }
  const auto width = static_cast<uint64_t>(size.width);
  const auto height = static_cast<uint64_t>(size.height);
  const uint64_t wanted = layout.first + (width * layout.bits + 31) / 32 * 4 * (height - 1) + (width * layout.bits + 7) / 8;
  if (bytes.size() < wanted) {
    fail("{}: BMP ends early, at byte {}; its pixels end at byte {}", name, bytes.size(), wanted);
  }
  return layout;
}

// stb_image leaves to chance which colors pixels get that the palette lacks. They get black here.

bool lacks_colors(Bytes bytes, const PngPalette& palette) {
  constexpr uint8_t kIndexed = 3;
  return bytes[kColorType] == kIndexed && bytes[kBitDepth] <= 8 && palette.offset > 0 &&
         palette.bytes / 3 < size_t{1} << bytes[kBitDepth];
}

/// The bytes up to `at`, then zeros, then those from `rest` on.
std::vector<uint8_t> with_zeros(Bytes bytes, size_t at, size_t zeros, size_t rest) {
  std::vector<uint8_t> all(at + zeros + (bytes.size() - rest));
  std::copy_n(bytes.begin(), at, all.begin());
  std::copy(bytes.begin() + static_cast<std::ptrdiff_t>(rest), bytes.end(),
            all.begin() + static_cast<std::ptrdiff_t>(at + zeros));
  return all;
}

/// Without a new checksum of the palette, because stb_image looks at none.
std::vector<uint8_t> with_whole_palette(Bytes bytes, const PngPalette& palette) {
  const size_t whole_bytes = size_t{3} << bytes[kBitDepth];
  const size_t has = palette.bytes / 3 * 3;
  const size_t end = palette.offset + 8 + palette.bytes;
  std::vector<uint8_t> whole = with_zeros(bytes, palette.offset + 8 + has, whole_bytes - has, end);
  for (size_t i = 0; i < 4; ++i) {
    whole[palette.offset + i] = static_cast<uint8_t>(whole_bytes >> 8 * (3 - i));
  }
  return whole;
}

bool lacks_colors(const BmpLayout& layout) {
  return layout.bits <= 8 && (layout.first - layout.header_end) / 4 < size_t{1} << layout.bits;
}

std::vector<uint8_t> with_whole_palette(Bytes bytes, const BmpLayout& layout) {
  const size_t whole_bytes = size_t{4} << layout.bits;
  const size_t has = (layout.first - layout.header_end) / 4 * 4;
  std::vector<uint8_t> whole = with_zeros(bytes, layout.header_end + has, whole_bytes - has, layout.first);
  for (size_t i = 0; i < 4; ++i) {
    whole[10 + i] = static_cast<uint8_t>((layout.header_end + whole_bytes) >> 8 * i);
  }
  return whole;
}

/// stb_image's callbacks over bytes in memory. Records a read past the end, which stb_image itself would fill with zeros.
struct Reader {
  Bytes rest;
  bool overrun = false;

  static int read(void* user, char* data, int size) {
    Reader& reader = *static_cast<Reader*>(user);
    const size_t count = std::min(static_cast<size_t>(size), reader.rest.size());
    reader.overrun |= count == 0;
    std::copy_n(reader.rest.data(), count, data);
    reader.rest = reader.rest.subspan(count);
    return static_cast<int>(count);
  }
  static void skip(void* user, int count) {
    Reader& reader = *static_cast<Reader*>(user);
    reader.rest = reader.rest.subspan(std::min(static_cast<size_t>(std::max(count, 0)), reader.rest.size()));
  }
  static int eof(void* user) { return static_cast<Reader*>(user)->rest.empty() ? 1 : 0; }
};

/// Copies a region of an image [size.height, size.width, 3].
void copy_region(const uint8_t* pixels, ImageSize size, const Rect& region, Image& out) {
  out.reset({region.height, region.width});
  for (int64_t y = 0; y < region.height; ++y) {
    std::memcpy(out.row(y), pixels + ((region.top + y) * size.width + region.left) * 3, static_cast<size_t>(region.width) * 3);
  }
}

void decode_stb(Bytes bytes, ImageSize size, const std::string& name, const Rect& region, Image& out) {
  int width = 0;
  int height = 0;
  int channels = 0;
  Reader reader{bytes};
  const stbi_io_callbacks callbacks{Reader::read, Reader::skip, Reader::eof};
  const auto pixel_bytes = static_cast<size_t>(is_png(bytes) ? png_pixel_bytes(bytes) : 4);
  allocation_limit =
      pixel_bytes * static_cast<size_t>((size.width + 1) * (size.height + 1)) + 2 * bytes.size() + (size_t{1} << 20);
  const std::unique_ptr<stbi_uc, decltype(&std::free)> pixels(
      is_png(bytes) ? stbi_load_from_memory(bytes.data(), static_cast<int>(bytes.size()), &width, &height, &channels, 3)
                    : stbi_load_from_callbacks(&callbacks, &reader, &width, &height, &channels, 3),
      &std::free);
  if (pixels == nullptr) {
    fail("{}: cannot decode {}: {}", name, is_png(bytes) ? "PNG" : "BMP", stbi_failure_reason());
  }
  if (reader.overrun) {
    fail("{}: BMP ends early, at byte {}", name, bytes.size());
  }
  if (ImageSize{height, width} != size) {
    fail("{}: decoded to {} x {} pixels, but the header says {} x {}", name, width, height, size.width, size.height);
  }
  copy_region(pixels.get(), size, region, out);
}

}  // namespace

bool is_raster(Bytes bytes) { return is_png(bytes) || is_bmp(bytes) || is_pnm(bytes); }

ImageSize raster_size(Bytes bytes, const std::string& name) {
  if (is_pnm(bytes)) {
    return pnm_size(bytes, name);
  }
  if (bytes.size() > INT_MAX) {
    fail("{}: the file has {} bytes; wanted at most 2 GiB", name, bytes.size());
  }
  const ImageSize size = is_png(bytes) ? png_size(bytes, name) : bmp_size(bytes, name);
  check_image_size(size, name);
  return size;
}

void decode_raster(Bytes bytes, const std::string& name, const RegionChooser& choose, Image& out) {
  if (is_pnm(bytes)) {
    decode_pnm(bytes, name, choose, out);
    return;
  }
  const ImageSize size = raster_size(bytes, name);
  const Rect region = choose(size);
  check_region(size, region, name);
  if (is_png(bytes)) {
    if (const PngPalette palette = check_png(bytes, name); lacks_colors(bytes, palette)) {
      return decode_stb(with_whole_palette(bytes, palette), size, name, region, out);
    }
  } else if (const BmpLayout layout = check_bmp(bytes, size, name); lacks_colors(layout)) {
    return decode_stb(with_whole_palette(bytes, layout), size, name, region, out);
  }
  decode_stb(bytes, size, name, region, out);
}

}  // namespace residua
