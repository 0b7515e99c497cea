#include "core/data/codecs/region.h"

#include "core/base/error.h"

namespace residua {

void check_image_size(ImageSize size, const std::string& name) {
  if (size.height <= 0 || size.width <= 0 || size.width > kMaxImagePixels / size.height) {
    fail("{}: the header says {} x {} pixels; wanted at least 1 and at most {} pixels", name, size.width, size.height,
         kMaxImagePixels);
  }
}

void check_pixels(ImageSize size, int64_t max_pixels, const std::string& name) {
  if (size.height * size.width > max_pixels) {
    fail("{}: the header says {} x {} pixels, {} in all; max-pixels allows {}", name, size.width, size.height,
         size.height * size.width, max_pixels);
  }
}

void check_region(ImageSize size, const Rect& region, const std::string& name) {
  if (!contains(size, region)) {
    fail("{}: region {} x {} at ({}, {}) is not inside the {} x {} image", name, region.width, region.height, region.left,
         region.top, size.width, size.height);
  }
}

}  // namespace residua
