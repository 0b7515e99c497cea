#pragma once

#include <cstdint>

namespace residua::host_cuda {

/// From now on, the host CUDA device fails to allocate larger blocks, like a GPU that is almost full.
void set_largest_block(int64_t bytes);

/// Number of copies from this device to the host so far.
int64_t copies_to_host();

}  // namespace residua::host_cuda
