#pragma once

#include <cstdint>

namespace residua::host_cuda {

/// Number of save_plans() calls so far. The host CUDA device has no plans to save.
int64_t plan_saves();

}  // namespace residua::host_cuda
