#pragma once

#include <cstdint>

namespace residua::host_cuda {

/// From now on, the host CUDA device has so many bytes left besides those that are in use, like a GPU that is almost full.
/// INT64_MAX: no limit.
void set_free_bytes(int64_t bytes);

/// Number of copies from this device to the host so far.
int64_t copies_to_host();

}  // namespace residua::host_cuda
