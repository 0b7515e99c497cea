#pragma once

#include <cstdint>

namespace residua::cuda {

/// For tests, which run every kernel with blocks and grids of other sizes than its own. 0: as the kernel wants.
struct LaunchOptions {
  int threads = 0;         // of a block; a multiple of 32
  int64_t max_blocks = 0;  // of a grid
};

inline LaunchOptions& launch_options() {
  static LaunchOptions options;
  return options;
}

}  // namespace residua::cuda
