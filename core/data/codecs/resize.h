#pragma once

#include <cstdint>
#include <vector>

#include "core/data/codecs/image.h"

namespace residua {

/// Crops `domain` from a source image, scales it to `resized` pixels, and crops `window` from the result (in coordinates of
/// `resized`). Pixels outside the domain have no influence.
struct Resize {
  Rect domain;
  ImageSize resized;
  Rect window;
  bool operator==(const Resize&) const = default;
};

/// `size` scaled so that its shorter side has `shorter` pixels; the longer side is rounded down, as in torchvision.
ImageSize with_shorter_side(ImageSize size, int64_t shorter);

/// The smallest rectangle that contains both.
Rect bounding(const Rect& a, const Rect& b);

/// The part of the source, within `domain`, that the window's pixels depend on.
Rect source_region(const Resize& resize);

/// Memory of scale() that one thread keeps from image to image, so that it is allocated once.
struct ResizeMemory {
  struct Axis {
    std::vector<int32_t> first;
    std::vector<float> weights;
  };
  Axis vertical, horizontal;  // filters
  std::vector<float> row;
};

/// Antialiased bilinear scaling, as in PIL and in torchvision with `antialias=True`: along each axis, with scale = domain /
/// resized, output pixel i is the mean of the source pixels j with weights max(0, 1 - |j + 0.5 - (i + 0.5) scale| / max(scale,
/// 1)). Rounds once, at the end; PIL also rounds between the axes, so results differ by at most 1. `region` must hold exactly
/// the pixels of source_region(resize); `out` receives [window.height, window.width, 3].
void scale(const Resize& resize, const Image& region, uint8_t* out, ResizeMemory& memory);

}  // namespace residua
