#include "core/data/codecs/raster.h"

#include <zlib.h>

#include <algorithm>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "core/base/error.h"

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
bool is_pnm(Bytes bytes) { return bytes.size() >= 2 && bytes[0] == 'P' && (bytes[1] == '5' || bytes[1] == '6'); }

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

/// Walks a PNG's chunks up to IEND and checks each CRC.
void check_png(Bytes bytes, const std::string& name) {
  size_t offset = 8;
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
      return;
    }
    offset += length + 12;
  }
}

/// The most bytes that stb_image needs in one block for a pixel of this PNG: four channels, of 8 or 16 bits.
int64_t png_pixel_bytes(Bytes bytes) {
  constexpr size_t kBitDepth = 24;
  return bytes.size() > kBitDepth && bytes[kBitDepth] == 16 ? 8 : 4;
}

/// Fails if an uncompressed BMP has fewer bytes than its pixels take.
void check_bmp(Bytes bytes, ImageSize size, const std::string& name) {
  const bool old = little_endian(bytes.data() + 14, 4) == 12;
  const uint64_t first = little_endian(bytes.data() + 10, 4);
  const uint64_t bits = little_endian(bytes.data() + (old ? 24 : 28), 2);
  const auto width = static_cast<uint64_t>(size.width);
  const auto height = static_cast<uint64_t>(size.height);
  const uint64_t wanted = first + (width * bits + 31) / 32 * 4 * (height - 1) + (width * bits + 7) / 8;
  if (bytes.size() < wanted) {
    fail("{}: BMP ends early, at byte {}; its pixels end at byte {}", name, bytes.size(), wanted);
  }
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

struct PnmHeader {
  ImageSize size;
  int64_t channels = 0;
  int64_t max_value = 0;
  size_t data_offset = 0;
};

PnmHeader read_pnm_header(Bytes bytes, const std::string& name) {
  size_t at = 2;
  const auto next_number = [&] {
    while (at < bytes.size() && (std::isspace(bytes[at]) != 0 || bytes[at] == '#')) {
      if (bytes[at] == '#') {
        at = static_cast<size_t>(std::find(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end(), '\n') - bytes.begin());
      } else {
        ++at;
      }
    }
    const size_t begin = at;
    int64_t value = 0;
    for (; at < bytes.size() && at - begin < 10 && std::isdigit(bytes[at]) != 0; ++at) {
      value = value * 10 + (bytes[at] - '0');
    }
    if (at == begin || at >= bytes.size() || std::isspace(bytes[at]) == 0) {
      fail("{}: PNM header is damaged at byte {}", name, at);
    }
    return value;
  };
  PnmHeader header;
  header.channels = bytes[1] == '6' ? 3 : 1;
  header.size.width = next_number();
  header.size.height = next_number();
  header.max_value = next_number();
  header.data_offset = at + 1;
  check_image_size(header.size, name);
  if (header.max_value < 1 || header.max_value > 65535) {
    fail("{}: PNM header has the maximum value {}; wanted 1 to 65535", name, header.max_value);
  }
  return header;
}

void decode_pnm(Bytes bytes, const std::string& name, const RegionChooser& choose, Image& out) {
  const PnmHeader header = read_pnm_header(bytes, name);
  const int64_t sample_bytes = header.max_value > 255 ? 2 : 1;
  const int64_t pixel_bytes = sample_bytes * header.channels;
  const int64_t wanted = header.size.height * header.size.width * pixel_bytes;
  if (static_cast<int64_t>(bytes.size() - header.data_offset) < wanted) {
    fail("{}: PNM ends early: {} bytes of pixels, wanted {}", name, bytes.size() - header.data_offset, wanted);
  }
  const Rect region = choose(header.size);
  check_region(header.size, region, name);
  out.reset({region.height, region.width});
  uint8_t* to = out.pixels.data();
  for (int64_t y = region.top; y < region.top + region.height; ++y) {
    const uint8_t* row = bytes.data() + header.data_offset + y * header.size.width * pixel_bytes;
    for (int64_t x = region.left; x < region.left + region.width; ++x) {
      for (int64_t c = 0; c < 3; ++c) {
        const uint8_t* sample = row + x * pixel_bytes + (header.channels == 3 ? c * sample_bytes : 0);
        const int64_t value = sample_bytes == 1 ? sample[0] : sample[0] * 256 + sample[1];
        *to++ = static_cast<uint8_t>(std::min<int64_t>(255, (value * 255 + header.max_value / 2) / header.max_value));
      }
    }
  }
}

}  // namespace

bool is_raster(Bytes bytes) { return is_png(bytes) || is_bmp(bytes) || is_pnm(bytes); }

ImageSize raster_size(Bytes bytes, const std::string& name) {
  if (is_pnm(bytes)) {
    return read_pnm_header(bytes, name).size;
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
    check_png(bytes, name);
  } else {
    check_bmp(bytes, size, name);
  }
  decode_stb(bytes, size, name, region, out);
}

}  // namespace residua
