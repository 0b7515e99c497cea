#pragma once

#include "core/tensor/tensor.h"

namespace residua {

/// x [N, ...] as [N, rest], sharing its memory.
Tensor flatten(const Tensor& x);

}  // namespace residua
