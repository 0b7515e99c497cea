#pragma once

#include "core/tensor/tensor.h"

namespace residua {

/// x converted to another floating type, rounded to nearest even. Returns x itself if it already has that type. The gradient is
/// cast back.
Tensor cast(const Tensor& x, DType dtype);

}  // namespace residua
