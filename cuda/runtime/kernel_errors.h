#pragma once

#include <cstdint>

#include "core/base/dtype.h"

// Errors that kernel files throw: fmt's headers do not go through nvcc.
namespace residua::cuda {

[[noreturn]] void fail_launch_shape(int64_t blocks, int threads);
[[noreturn]] void fail_element_type(DType dtype);

}  // namespace residua::cuda
