#pragma once

#include "cuda/device/block.cuh"
#include "cuda/device/vec.cuh"

// Loops over rows of channels with per-channel parameters or sums. A thread stays in one column, so these stay in its
// registers.
namespace residua::cuda {

/// How a grid divides [rows, columns] among its threads. A column is the unit that a thread takes from a row, for example a
/// pack of channels. A chunk is up to 32 adjacent columns. A block stays in one chunk: its threads cover the chunk's columns
/// first, then `lanes` rows. There are at least as many blocks as chunks.
struct ColumnGrid {
  LaunchShape launch;
  int64_t rows;
  int columns, chunks;
  int width;           // columns per chunk; the last chunk may have fewer
  int lanes;           // rows that a block processes at once
  int64_t row_blocks;  // blocks that share the rows of a chunk
  __host__ __device__ int64_t row_step() const { return row_blocks * lanes; }

  /// By default as many blocks of 256 threads as run at once. A kernel with more than 64 registers passes the number of blocks
  /// that fit on a multiprocessor and its largest block size. A kernel that sums passes fewer, larger blocks, which leave fewer
  /// partial sums.
  ColumnGrid(const Stream& stream, int64_t row_count, int64_t column_count, int64_t blocks_per_multiprocessor = 4,
             int most_threads = 1024, int preferred_threads = 256)
      : rows(row_count), columns(static_cast<int>(column_count)) {
    chunks = (columns + 31) / 32;
    width = (columns + chunks - 1) / chunks;
    const int threads = std::min(block_threads(preferred_threads), most_threads);
    lanes = threads / width;
    const int64_t wanted = std::max<int64_t>(1, (rows + lanes - 1) / lanes);
    const int64_t blocks = grid_blocks(stream, wanted * chunks, blocks_per_multiprocessor);
    row_blocks = std::clamp<int64_t>(blocks / chunks, 1, wanted);
    launch = {row_blocks * chunks, threads};
  }
};

/// A thread's position in the grid. It processes rows row, row + row_step(), ...
struct ColumnPlace {
  int row_block, lane, column;
  int64_t row;
  bool active;  // has a column and a row lane; inactive threads only take part in barriers

  __device__ explicit ColumnPlace(const ColumnGrid& grid) {
    row_block = static_cast<int>(blockIdx.x) / grid.chunks;
    lane = static_cast<int>(threadIdx.x) / grid.width;
    column = static_cast<int>(blockIdx.x) % grid.chunks * grid.width + static_cast<int>(threadIdx.x) % grid.width;
    row = int64_t{row_block} * grid.lanes + lane;
    active = lane < grid.lanes && column < grid.columns;
  }
};

/// Loads per-channel values out[k][j] = tables[k][(first + j) % channels], first < channels. Issues all loads before the first
/// use.
template <int K, int N>
__device__ inline void load_channels(const float* const (&tables)[K], int64_t channels, int64_t first, float (&out)[K][N]) {
  bool packed = N % 4 == 0 && first + N <= channels;
#pragma unroll
  for (int k = 0; k < K; ++k) {
    packed = packed && reinterpret_cast<uintptr_t>(tables[k] + first) % 16 == 0;
  }
  if (packed) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
#pragma unroll
      for (int j = 0; j + 4 <= N; j += 4) {
        float part[4];
        load(tables[k] + first + j, part);
#pragma unroll
        for (int l = 0; l < 4; ++l) {
          out[k][j + l] = part[l];
        }
      }
    }
    return;
  }
#pragma unroll
  for (int j = 0; j < N; ++j) {
#pragma unroll
    for (int k = 0; k < K; ++k) {
      out[k][j] = tables[k][first];
    }
    first = first + 1 == channels ? 0 : first + 1;
  }
}

template <int N>
__device__ inline void load_channels(const float* table, int64_t channels, int64_t first, float (&out)[N]) {
  float loaded[1][N];
  load_channels({table}, channels, first, loaded);
#pragma unroll
  for (int j = 0; j < N; ++j) {
    out[j] = loaded[0][j];
  }
}

// Sums of two quantities over the rows, for each element of a column, in two kernels. The first adds in fp32 over a thread's
// rows, then over the lanes of its block, and writes one row of partial sums per block. The second adds these in double. The
// order is fixed.

/// Blocks per multiprocessor, and threads per block, for the first kernel.
inline constexpr int kSumBlocks = 2;
inline constexpr int kSumThreads = 512;

/// Dynamic shared memory that add_lanes needs per block.
template <int N>
int64_t lane_sums_bytes(int threads) {
  return int64_t{threads} / 2 * 2 * N * static_cast<int64_t>(sizeof(float));
}

/// Adds `sum` over the lanes of each column; lane 0 gets the result. All threads of the block must call it.
template <int N>
__device__ inline void add_lanes(const ColumnGrid& grid, const ColumnPlace& place, float (&sum)[2][N]) {
  auto* shared = dynamic_shared<float>();
  const int slots = static_cast<int>(blockDim.x) / 2;
  const int thread = static_cast<int>(threadIdx.x);
  for (int count = grid.lanes; count > 1;) {
    const int half = (count + 1) / 2;
    block_barrier();  // the previous contents have been read
    if (place.lane >= half && place.lane < count) {
      const int slot = thread - half * grid.width;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        shared[j * slots + slot] = sum[0][j];
        shared[(N + j) * slots + slot] = sum[1][j];
      }
    }
    block_barrier();
    if (place.lane < count - half) {
#pragma unroll
      for (int j = 0; j < N; ++j) {
        sum[0][j] += shared[j * slots + thread];
        sum[1][j] += shared[(N + j) * slots + thread];
      }
    }
    count = half;
  }
}

/// Writes a block's sums to partials [row_blocks, 2, columns * N].
template <int N>
__device__ inline void store_partials(const ColumnGrid& grid, const ColumnPlace& place, const float (&sum)[2][N],
                                      float* partials) {
  if (place.active && place.lane == 0) {
    const int64_t width = int64_t{grid.columns} * N;
    float* to = partials + int64_t{place.row_block} * 2 * width + int64_t{place.column} * N;
    store(to, sum[0]);
    store(to + width, sum[1]);
  }
}

template <int N>
int64_t partials_bytes(const ColumnGrid& grid) {
  return grid.row_blocks * 2 * grid.columns * N * static_cast<int64_t>(sizeof(float));
}

/// Largest block of finish_sums_kernel. Its double sums need more than the 64 registers per thread that 1024 threads leave.
inline constexpr int kFinishThreads = 512;
inline constexpr int kFinishChannels = 8;  // per block: the elements of a row in one 32-byte sector

/// Adds the partial sums of each channel and calls finish(channel, finish.known(channel), sum 0, sum 1). A channel has one term
/// for each row block and each of its `repeats` positions in a row; the order of addition is fixed. A block has eight adjacent
/// channels, and its groups of eight threads share the terms. Each thread issues several loads before its first addition.
template <class Finish>
__global__ void __launch_bounds__(kFinishThreads)
    finish_sums_kernel(int64_t channels, int repeats, int terms, const float* partials, Finish finish) {
  constexpr int kBatch = 8;
  constexpr int kSlots = kWarp / kFinishChannels;  // per warp
  RESIDUA_SHARED(double, shared, 2 * kFinishThreads / kSlots);
  const int slot = static_cast<int>(threadIdx.x) / kFinishChannels;
  const int slots = warps() * kSlots;
  const int64_t width = channels * repeats;
  for (int64_t start = int64_t{blockIdx.x} * kFinishChannels; start < channels; start += int64_t{gridDim.x} * kFinishChannels) {
    const int64_t channel = start + lane() % kFinishChannels;
    const bool active = channel < channels;
    const float known = active ? finish.known(channel) : 0.0f;
    double sums[2] = {0, 0};
    for (int first = slot; first < terms; first += slots * kBatch) {
      float loaded[2][kBatch];
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        const int term = first + b * slots;
        const bool has = active && term < terms;
        const float* from = partials + int64_t{term / repeats} * 2 * width + term % repeats * channels + channel;
        loaded[0][b] = has ? from[0] : 0.0f;
        loaded[1][b] = has ? from[width] : 0.0f;
      }
#pragma unroll
      for (int b = 0; b < kBatch; ++b) {
        sums[0] += static_cast<double>(loaded[0][b]);
        sums[1] += static_cast<double>(loaded[1][b]);
      }
    }
    sums[0] = warp_sum(sums[0], kFinishChannels);
    sums[1] = warp_sum(sums[1], kFinishChannels);
    block_barrier();  // the sums of the previous iteration have been read
    if (lane() < kFinishChannels) {
      shared[warp() * kFinishChannels + lane()] = sums[0];
      shared[(warps() + warp()) * kFinishChannels + lane()] = sums[1];
    }
    block_barrier();
    if (warp() == 0) {
      double totals[2] = {0, 0};
      for (int w = lane() / kFinishChannels; w < warps(); w += kSlots) {
        totals[0] += shared[w * kFinishChannels + lane() % kFinishChannels];
        totals[1] += shared[(warps() + w) * kFinishChannels + lane() % kFinishChannels];
      }
      totals[0] = warp_sum(totals[0], kFinishChannels);
      totals[1] = warp_sum(totals[1], kFinishChannels);
      if (active && lane() < kFinishChannels) {
        finish(channel, known, totals[0], totals[1]);
      }
    }
  }
}

template <int N, class Finish>
void finish_sums(Stream& stream, const ColumnGrid& grid, int64_t channels, const float* partials, const Finish& finish) {
  const LaunchShape shape{grid_blocks(stream, (channels + kFinishChannels - 1) / kFinishChannels, 4),
                          std::min(block_threads(kFinishThreads), kFinishThreads)};
  const auto repeats = static_cast<int>(int64_t{grid.columns} * N / channels);
  launch(stream, shape, finish_sums_kernel<Finish>, channels, repeats, static_cast<int>(grid.row_blocks) * repeats, partials,
         finish);
}

}  // namespace residua::cuda
