#pragma once

#include <cstdint>

#include "core/tensor/tensor.h"

namespace residua {

/// A mean image f32 [h, w, C] scaled to [size, size, C], on its device: bilinear between the centers of pixels, the outermost
/// ones continued. What is subtracted from views of another size than the network's own.
Tensor scaled_mean_image(const Tensor& mean, int64_t size);

}  // namespace residua
