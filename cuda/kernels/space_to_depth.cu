// Space-to-depth and its way back. Grid-stride; each byte crosses device memory once. In space_to_depth a thread copies half a
// block, two neighbors in a row of x, as one pack of 16 bytes if pairs are aligned in x too. Otherwise, and in depth_to_space,
// which copies weights alone, it copies one element.
#include "cuda/kernels/space_to_depth.h"

#include "cuda/device/unflatten.cuh"
#include "cuda/device/vec.cuh"

namespace residua::cuda {
namespace {

using Element = uint16_t;

/// Whether 0 <= i < size.
__device__ inline bool within(int64_t i, int64_t size) { return static_cast<uint64_t>(i) < static_cast<uint64_t>(size); }

template <int N>
__global__ void space_to_depth_kernel(SpaceToDepthShape s, const Element* x, Element* blocks, Unflatten unflatten,
                                      int64_t packs) {
  const int64_t pair = 2 * s.channels;  // elements of half a block
  for (int64_t i = global_thread(); i < packs; i += grid_threads()) {
    const auto at = unflatten(i);
    const int64_t lower = at.depth * N >= pair ? 1 : 0;
    const int64_t element = at.depth * N - lower * pair;
    const int64_t row = 2 * at.row + lower - s.lead;
    const int64_t left = 2 * at.column - s.lead;
    const int64_t column = left + (element >= s.channels ? 1 : 0);
    Pack<Element, N> pack{};
    if (within(row, s.height) && within(column, s.width)) {
      pack = pack_at<N>(x + ((at.image * s.height + row) * s.width + left) * s.channels + element);
    }
    *reinterpret_cast<Pack<Element, N>*>(blocks + i * N) = pack;
  }
}

__global__ void depth_to_space_kernel(SpaceToDepthShape s, const Element* blocks, Element* x, Unflatten unflatten,
                                      int64_t elements) {
  for (int64_t i = global_thread(); i < elements; i += grid_threads()) {
    const auto at = unflatten(i);
    const int64_t row = at.row + s.lead;
    const int64_t column = at.column + s.lead;
    const int64_t block = (at.image * s.block_rows + row / 2) * s.block_columns + column / 2;
    x[i] = blocks[(4 * block + 2 * (row % 2) + column % 2) * s.channels + at.depth];
  }
}

}  // namespace

void run(const SpaceToDepth& args, Stream& stream) {
  const SpaceToDepthShape& s = args.shape;
  const auto* x = static_cast<const Element*>(args.x);
  auto* blocks = static_cast<Element*>(args.blocks);
  // Then a pair of x is a pack, and lies inside x or outside as a whole.
  const bool packed = 2 * s.channels == kVec<Element> && s.width % 2 == 0 && s.lead % 2 == 0 &&
                      aligned_to(16, x, static_cast<const Element*>(blocks));
  visit_pack<Element>(packed, [&]<int N>(Elements<N>) {
    const int64_t packs = s.images * s.block_rows * s.block_columns * 4 * s.channels / N;
    launch(stream, grid_for(stream, packs), space_to_depth_kernel<N>, s, x, blocks,
           Unflatten(s.block_rows, s.block_columns, 4 * s.channels / N), packs);
  });
}

void run(const DepthToSpace& args, Stream& stream) {
  const SpaceToDepthShape& s = args.shape;
  const int64_t elements = s.images * s.height * s.width * s.channels;
  launch(stream, grid_for(stream, elements), depth_to_space_kernel, s, static_cast<const Element*>(args.blocks),
         static_cast<Element*>(args.x), Unflatten(s.height, s.width, s.channels), elements);
}

}  // namespace residua::cuda
