#pragma once

#include "core/tensor/tensor.h"

namespace residua {

/// x in another floating type, rounded to nearest even; x itself where it has that type already. The gradient is cast back.
Tensor cast(const Tensor& x, DType dtype);

}  // namespace residua
