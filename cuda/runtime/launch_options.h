#pragma once

#include <cstdint>

namespace residua::cuda {

/// For tests, which run every kernel with other block and grid sizes. 0 means the kernel's own choice.
struct LaunchOptions {
  int threads = 0;         // per block; a multiple of 32
  int64_t max_blocks = 0;  // per grid
};

inline LaunchOptions& launch_options() {
  static LaunchOptions options;
  return options;
}

}  // namespace residua::cuda
