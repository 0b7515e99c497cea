#pragma once

#include <cstdint>

namespace residua::host_cuda {

/// The host CUDA device refuses larger blocks from now on, as a GPU does that is nearly full.
void set_largest_block(int64_t bytes);

/// How often the host has read this device's memory.
int64_t copies_to_host();

}  // namespace residua::host_cuda
