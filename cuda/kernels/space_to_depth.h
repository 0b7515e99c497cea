#pragma once

#include <cstdint>

#include "cuda/runtime/stream.h"

namespace residua::cuda {

/// x [images, height, width, channels] and its blocks of 2 x 2 pixels, [images, block_rows, block_columns, 4 * channels], both
/// of 16-bit elements:
///   blocks[n, a, b, (2i + j) * channels + c] = x[n, 2a + i - lead, 2b + j - lead, c] for i and j of 0 and 1.
/// `lead` is the number of zero rows and columns before x.
struct SpaceToDepthShape {
  int64_t images, height, width, channels;
  int64_t lead;
  int64_t block_rows, block_columns;
};

/// Writes all blocks. What lies outside x is zero.
struct SpaceToDepth {
  SpaceToDepthShape shape;
  const void* x;
  void* blocks;  // overwritten
};

/// The way back: writes x. The blocks must cover x: height + lead <= 2 * block_rows, width + lead <= 2 * block_columns.
struct DepthToSpace {
  SpaceToDepthShape shape;
  const void* blocks;
  void* x;  // overwritten
};

void run(const SpaceToDepth& args, Stream& stream);
void run(const DepthToSpace& args, Stream& stream);

}  // namespace residua::cuda
