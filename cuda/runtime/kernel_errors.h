#pragma once

#include <cstdint>

#include "core/base/dtype.h"

// Errors thrown by kernel files. They are separate because nvcc cannot compile fmt's headers.
namespace residua::cuda {

[[noreturn]] void fail_launch_shape(int64_t blocks, int threads);
[[noreturn]] void fail_element_type(DType dtype);

}  // namespace residua::cuda
