#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace residua {

struct ImageSize {
  int64_t height = 0;
  int64_t width = 0;
  bool operator==(const ImageSize&) const = default;
};

/// A rectangle of pixels: rows [top, top + height), columns [left, left + width).
struct Rect {
  int64_t top = 0;
  int64_t left = 0;
  int64_t height = 0;
  int64_t width = 0;
  bool operator==(const Rect&) const = default;
};

inline Rect whole(ImageSize size) { return {.top = 0, .left = 0, .height = size.height, .width = size.width}; }

inline bool contains(ImageSize size, const Rect& rect) {
  return rect.height > 0 && rect.width > 0 && rect.top >= 0 && rect.left >= 0 && rect.height <= size.height &&
         rect.width <= size.width && rect.top <= size.height - rect.height && rect.left <= size.width - rect.width;
}

/// An 8-bit RGB image in memory. Grayscale is stored as three equal channels.
struct Image {
  int64_t height = 0;
  int64_t width = 0;
  std::vector<uint8_t> pixels;  // [height, width, 3]

  /// Resizes to height x width pixels with unspecified values. Shrinking does not free memory.
  void reset(ImageSize size) {
    height = size.height;
    width = size.width;
    pixels.resize(static_cast<size_t>(height) * static_cast<size_t>(width) * 3);
  }
  ImageSize size() const { return {height, width}; }
  const uint8_t* row(int64_t y) const { return pixels.data() + y * width * 3; }
  uint8_t* row(int64_t y) { return pixels.data() + y * width * 3; }
};

}  // namespace residua
