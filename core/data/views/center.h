#pragma once

#include "core/data/views/view.h"

namespace residua {

/// The `window` in the center of an image of `size`. Rounds half to even, as torchvision's CenterCrop does.
Rect centered(ImageSize size, ImageSize window);

/// The shorter side of the images that evaluation crops `crop_size` pixels from: 256 for crops of 224, others in proportion.
int64_t evaluation_side(int64_t crop_size);

/// The evaluation view: resizes the shorter side to evaluation_side() and takes the center crop. An image of exactly
/// crop_size x crop_size stays as it is.
PlacedView center_view(ImageSize size, int64_t crop_size);

}  // namespace residua
