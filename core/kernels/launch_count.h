#pragma once

#include <atomic>
#include <cstdint>

namespace residua {

/// Number of this engine's kernels that this process has launched on CUDA devices, without those of cuDNN and cuBLASLt.
/// Benchmarks allow some time for each launch.
inline std::atomic<int64_t> launch_count = 0;

}  // namespace residua
