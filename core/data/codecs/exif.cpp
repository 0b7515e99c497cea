#include "core/data/codecs/exif.h"

#include <libexif/exif-data.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string_view>
#include <utility>

namespace residua {

namespace {

constexpr std::string_view kExif("Exif\0\0", 6);
constexpr int kMostOrientation = 8;

/// The contents of the first APP1 segment that holds EXIF data, from "Exif" on; empty if there is none before the pixels.
/// Segments: ITU-T T.81, section B.1.1.
std::span<const uint8_t> find_exif(std::span<const uint8_t> jpeg) {
  constexpr uint8_t kApp1 = 0xe1;
  constexpr uint8_t kEndOfImage = 0xd9;
  constexpr uint8_t kStartOfScan = 0xda;
  size_t at = 2;
  while (at + 4 <= jpeg.size() && jpeg[at] == 0xff) {
    const uint8_t marker = jpeg[at + 1];
    if (marker == 0xff) {  // a fill byte
      ++at;
      continue;
    }
    const size_t bytes = size_t{jpeg[at + 2]} << 8 | jpeg[at + 3];  // with the two of this length
    if (marker == kStartOfScan || marker == kEndOfImage || bytes < 2 || at + 2 + bytes > jpeg.size()) {
      return {};
    }
    const std::span<const uint8_t> contents = jpeg.subspan(at + 4, bytes - 2);
    if (marker == kApp1 && contents.size() > kExif.size() && std::equal(kExif.begin(), kExif.end(), contents.begin())) {
      return contents;
    }
    at += 2 + bytes;
  }
  return {};
}

}  // namespace

Turn turn_of_orientation(int orientation) {
  constexpr std::array<Turn, 9> kTurns = {{{},
                                           {},
                                           {.columns_reversed = true},
                                           {.rows_reversed = true, .columns_reversed = true},
                                           {.rows_reversed = true},
                                           {.transposed = true},
                                           {.transposed = true, .rows_reversed = true},
                                           {.transposed = true, .rows_reversed = true, .columns_reversed = true},
                                           {.transposed = true, .columns_reversed = true}}};
  return orientation > 0 && orientation < static_cast<int>(kTurns.size()) ? kTurns[static_cast<size_t>(orientation)] : Turn{};
}

int exif_orientation(std::span<const uint8_t> jpeg) {
  const std::span<const uint8_t> exif = find_exif(jpeg);
  if (exif.empty()) {
    return 1;
  }
  const std::unique_ptr<ExifData, decltype(&exif_data_unref)> data(
      exif_data_new_from_data(exif.data(), static_cast<unsigned int>(exif.size())), exif_data_unref);
  if (data == nullptr) {
    return 1;
  }
  const ExifEntry* entry = exif_content_get_entry(data->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION);
  if (entry == nullptr || entry->format != EXIF_FORMAT_SHORT || entry->components != 1 || entry->size < sizeof(ExifShort)) {
    return 1;
  }
  const int orientation = exif_get_short(entry->data, exif_data_get_byte_order(data.get()));
  return orientation >= 1 && orientation <= kMostOrientation ? orientation : 1;
}

Turn exif_turn(std::span<const uint8_t> jpeg) { return turn_of_orientation(exif_orientation(jpeg)); }

std::vector<uint8_t> exif_segment(int orientation) {
  // A big-endian TIFF header, and one directory with one entry: tag 0x0112, a SHORT.
  return {'E', 'x', 'i', 'f',  0,    0, 'M', 'M', 0, 42, 0, 0, 0,
          8,   0,   1,   0x01, 0x12, 0, 3,   0,   0, 0,  1, 0, static_cast<uint8_t>(orientation),
          0,   0,   0,   0,    0,    0};
}

ImageSize turned(ImageSize stored, Turn turn) {
  return turn.transposed ? ImageSize{.height = stored.width, .width = stored.height} : stored;
}

Rect stored_region(ImageSize stored, const Rect& region, Turn turn) {
  Rect r = region;
  if (turn.transposed) {
    std::swap(r.top, r.left);
    std::swap(r.height, r.width);
  }
  if (turn.rows_reversed) {
    r.top = stored.height - r.top - r.height;
  }
  if (turn.columns_reversed) {
    r.left = stored.width - r.left - r.width;
  }
  return r;
}

void apply(Turn turn, const Image& stored, Image& out) {
  out.reset(turned(stored.size(), turn));
  for (int64_t y = 0; y < out.height; ++y) {
    uint8_t* to = out.row(y);
    for (int64_t x = 0; x < out.width; ++x, to += 3) {
      int64_t i = turn.transposed ? x : y;
      int64_t j = turn.transposed ? y : x;
      i = turn.rows_reversed ? stored.height - 1 - i : i;
      j = turn.columns_reversed ? stored.width - 1 - j : j;
      std::copy_n(stored.row(i) + 3 * j, 3, to);
    }
  }
}

}  // namespace residua
