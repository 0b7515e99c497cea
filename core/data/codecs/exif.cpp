#include "core/data/codecs/exif.h"

#include <libexif/exif-data.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

namespace residua {

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

Turn exif_turn(std::span<const uint8_t> jpeg) {
  const std::unique_ptr<ExifData, decltype(&exif_data_unref)> data(
      exif_data_new_from_data(jpeg.data(), static_cast<unsigned int>(jpeg.size())), exif_data_unref);
  if (data == nullptr) {
    return {};
  }
  const ExifEntry* entry = exif_content_get_entry(data->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION);
  if (entry == nullptr || entry->format != EXIF_FORMAT_SHORT || entry->components != 1 || entry->size < sizeof(ExifShort)) {
    return {};
  }
  return turn_of_orientation(exif_get_short(entry->data, exif_data_get_byte_order(data.get())));
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
