#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/data/codecs/image.h"

namespace residua {

/// How a camera says that a stored image is to be turned: pixel (y, x) of the turned image is pixel (i, j) of the stored one,
/// with (i, j) = (y, x), or (x, y) if `transposed`; then i counts from the last row and j from the last column if reversed.
struct Turn {
  bool transposed = false;
  bool rows_reversed = false;
  bool columns_reversed = false;

  bool operator==(const Turn&) const = default;
};

/// The turn of EXIF orientation 1 to 8; none for any other number.
Turn turn_of_orientation(int orientation);
/// The orientation in a JPEG's EXIF data: 1 to 8, or 1 if it has no valid one.
int exif_orientation(std::span<const uint8_t> jpeg);
/// The turn of that orientation.
Turn exif_turn(std::span<const uint8_t> jpeg);

/// EXIF data that hold an orientation from 1 to 8 alone, as the contents of a JPEG's APP1 segment.
std::vector<uint8_t> exif_segment(int orientation);

/// The size of an image of `stored` size when turned.
ImageSize turned(ImageSize stored, Turn turn);
/// The part of the stored image of `stored` size that holds `region` of the turned one.
Rect stored_region(ImageSize stored, const Rect& region, Turn turn);
/// Turns an image.
void apply(Turn turn, const Image& stored, Image& out);

}  // namespace residua
