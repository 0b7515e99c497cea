#pragma once

#include <cstdint>

#include "core/data/codecs/image.h"

namespace residua {

/// Scales `domain`, a rectangle of a source image, to `resized` pixels and keeps `window` of the result (in coordinates of
/// `resized`). Pixels outside of the domain have no influence, as if it had been cropped out first.
struct Resize {
  Rect domain;
  ImageSize resized;
  Rect window;
};

/// `size` scaled so that its shorter side has `shorter` pixels; the longer one is cut to a whole number, as in torchvision.
ImageSize with_shorter_side(ImageSize size, int64_t shorter);

/// The part of the source, inside `domain`, that the window's pixels depend on.
Rect source_region(const Resize& resize);

/// Antialiased bilinear scaling, the triangle filter of PIL and of torchvision's `antialias=True`: along each axis, with
/// scale = domain / resized, output pixel i is the mean of the source pixels j weighted by
/// max(0, 1 - |j + 0.5 - (i + 0.5) scale| / max(scale, 1)). Rounds once, at the end (PIL rounds between the axes too: at most 1
/// apart). `region` holds exactly the pixels of source_region(resize); `out` receives [window.height, window.width, 3].
void scale(const Resize& resize, const Image& region, uint8_t* out);

}  // namespace residua
