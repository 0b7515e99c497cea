#pragma once

#include "core/data/views/view.h"

namespace residua {

/// The evaluation view: resizes the shorter side to crop_size * 256 / 224 and takes the center crop. An image of exactly
/// crop_size x crop_size stays as it is.
PlacedView center_view(ImageSize size, int64_t crop_size);

}  // namespace residua
