#include "core/data/codecs/pnm.h"

#include <algorithm>
#include <cctype>

#include "core/base/error.h"

namespace residua {
namespace {

struct PnmHeader {
  ImageSize size;
  int64_t channels = 0;
  int64_t max_value = 0;
  size_t data_offset = 0;
};

PnmHeader read_pnm_header(std::span<const uint8_t> bytes, const std::string& name) {
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

}  // namespace

bool is_pnm(std::span<const uint8_t> bytes) {
  return bytes.size() >= 2 && bytes[0] == 'P' && (bytes[1] == '5' || bytes[1] == '6');
}

ImageSize pnm_size(std::span<const uint8_t> bytes, const std::string& name) { return read_pnm_header(bytes, name).size; }

void decode_pnm(std::span<const uint8_t> bytes, const std::string& name, const RegionChooser& choose, Image& out) {
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

}  // namespace residua
