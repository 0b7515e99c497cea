#pragma once

#include <cstdint>

#include "core/tensor/tensor.h"

namespace residua {

/// Scales a mean image f32 [h, w, C] to [size, size, C] on its device, for views of another size than the network's own.
/// Bilinear between pixel centers; edge pixels extend to the border.
Tensor scaled_mean_image(const Tensor& mean, int64_t size);

}  // namespace residua
