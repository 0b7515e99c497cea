#pragma once

// Every kernel file includes this first. It provides the kernel language (from nvcc, or its host twin under g++) and the only
// way to launch a kernel.
#include <algorithm>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "core/kernels/launch_count.h"
#include "cuda/runtime/kernel_errors.h"
#include "cuda/runtime/launch_options.h"
#include "cuda/runtime/stream.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "cuda/runtime/error.h"
#else
#include "cuda/host/shim.h"
#endif

namespace residua::cuda {

/// A one-dimensional grid of one-dimensional blocks.
struct LaunchShape {
  int64_t blocks;
  int threads;  // a multiple of 32, up to 1024
  int64_t shared_bytes = 0;
};

/// Threads per block: `preferred`, unless a test sets another number.
inline int block_threads(int preferred) { return launch_options().threads != 0 ? launch_options().threads : preferred; }

/// Blocks in a grid, for kernels that work with any number: `wanted`, but at most `per_multiprocessor` per multiprocessor.
inline int64_t grid_blocks(const Stream& stream, int64_t wanted, int64_t per_multiprocessor) {
  int64_t limit = per_multiprocessor * stream.multiprocessors();
  if (launch_options().max_blocks != 0) {
    limit = std::min(limit, launch_options().max_blocks);
  }
  return std::clamp<int64_t>(wanted, 1, limit);
}

/// The grid for a grid-stride loop over `items`: each thread takes item `global_thread()`, then every `grid_threads()`-th. A
/// kernel with __launch_bounds__ passes its largest block as `most_threads`.
inline LaunchShape grid_for(const Stream& stream, int64_t items, int preferred_threads = 256, int most_threads = 1024) {
  const int threads = std::min(block_threads(preferred_threads), most_threads);
  return {grid_blocks(stream, (items + threads - 1) / threads, 32), threads};
}

/// Calls f(std::true_type{}) or f(std::false_type{}), for kernels with boolean template arguments.
template <class F>
void visit_bool(bool value, const F& f) {
  if (value) {
    f(std::true_type{});
  } else {
    f(std::false_type{});
  }
}

__device__ inline int64_t global_thread() { return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ inline int64_t grid_threads() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

/// Queues `kernel(args...)` on the stream. Throws Error if the launch shape is invalid or the launch fails.
template <class... Parameters, class... Args>
void launch(Stream& stream, const LaunchShape& shape, void (*kernel)(Parameters...), Args&&... args) {
  if (shape.blocks < 1 || shape.blocks > 0x7fffffff || shape.threads < 32 || shape.threads > 1024 || shape.threads % 32 != 0) {
    fail_launch_shape(shape.blocks, shape.threads);
  }
  launch_count.fetch_add(1, std::memory_order_relaxed);
#ifdef __CUDACC__
  kernel<<<static_cast<unsigned>(shape.blocks), static_cast<unsigned>(shape.threads), static_cast<size_t>(shape.shared_bytes),
           static_cast<cudaStream_t>(stream.native())>>>(static_cast<Parameters>(std::forward<Args>(args))...);
  RESIDUA_CUDA_CHECK(cudaGetLastError());
#else
  host_cuda::launch(stream, {shape.blocks, shape.threads, shape.shared_bytes},
                    [kernel, ... copies = static_cast<Parameters>(std::forward<Args>(args))] { kernel(copies...); });
#endif
}

}  // namespace residua::cuda
