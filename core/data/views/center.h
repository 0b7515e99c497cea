#pragma once

#include "core/data/views/view.h"

namespace residua {

/// The evaluation window: shorter side scaled to crop_size * 256 / 224, the center crop of that. An image of exactly the crop
/// size stays as it is.
PlacedView center_view(ImageSize size, int64_t crop_size);

}  // namespace residua
