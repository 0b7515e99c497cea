#pragma once

#include "cuda/device/vec.cuh"

namespace residua::cuda {

/// Like for_packs, with the body in two halves: the result of read(i, Elements<K>{}) is passed to write(i, ...). A thread reads
/// up to `Batch` packs before it writes the first, so that many loads are in flight at once. A block takes tiles of Batch *
/// blockDim adjacent packs.
template <int N, int Batch, class Read, class Write>
__device__ inline void for_pack_batches(int64_t size, const Read& read, const Write& write) {
  using Held = decltype(read(int64_t{}, Elements<N>{}));
  const int64_t packs = size / N;
  const int64_t tile = int64_t{Batch} * blockDim.x;
  for (int64_t first = blockIdx.x * tile + threadIdx.x; first < packs; first += gridDim.x * tile) {
    Held held[Batch];
#pragma unroll
    for (int b = 0; b < Batch; ++b) {
      const int64_t i = first + b * static_cast<int64_t>(blockDim.x);
      if (i < packs) {
        held[b] = read(i * N, Elements<N>{});
      }
    }
#pragma unroll
    for (int b = 0; b < Batch; ++b) {
      const int64_t i = first + b * static_cast<int64_t>(blockDim.x);
      if (i < packs) {
        write(i * N, held[b]);
      }
    }
  }
  if constexpr (N > 1) {
    for (int64_t i = packs * N + global_thread(); i < size; i += grid_threads()) {
      write(i, read(i, Elements<1>{}));
    }
  }
}

/// The grid for for_pack_batches.
inline LaunchShape grid_for_batches(const Stream& stream, int64_t packs, int batch) {
  return grid_for(stream, (packs + batch - 1) / batch);
}

}  // namespace residua::cuda
