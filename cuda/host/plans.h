#pragma once

#include <cstdint>

namespace residua::host_cuda {

/// How often the host CUDA device, which has no plans, was asked to save them.
int64_t plan_saves();

}  // namespace residua::host_cuda
