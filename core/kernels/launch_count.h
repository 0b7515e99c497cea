#pragma once

#include <atomic>
#include <cstdint>

namespace residua {

/// Kernels of this engine that this process has queued on CUDA devices, those of the vendor's libraries apart. Benchmarks allow
/// some time for each.
inline std::atomic<int64_t> launch_count = 0;

}  // namespace residua
