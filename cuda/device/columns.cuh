#pragma once

#include "cuda/device/block.cuh"
#include "cuda/device/vec.cuh"

// Walking over rows of channels when each channel has parameters or sums of its own: a thread stays in one column, so that
// they stay in its registers.
namespace residua::cuda {

/// How a grid shares out [rows, columns]: a column is what a thread takes of a row at a time, a chunk up to 32 adjacent
/// columns. A block stays in one chunk, where its threads lie side by side over the chunk's columns and then over `lanes` rows;
/// there are at least as many blocks as chunks.
struct ColumnGrid {
  LaunchShape launch;
  int64_t rows;
  int columns, chunks;
  int width;           // columns of a chunk; the last may have fewer
  int lanes;           // rows that a block takes at once
  int64_t row_blocks;  // that share the rows of a chunk
  __host__ __device__ int64_t row_step() const { return row_blocks * lanes; }

  /// As many blocks of 256 threads as run at once. A kernel that needs more than 64 registers says how few that is, and how
  /// many threads a block can have at most.
  ColumnGrid(const Stream& stream, int64_t row_count, int64_t column_count, int64_t blocks_per_multiprocessor = 4,
             int most_threads = 1024)
      : rows(row_count), columns(static_cast<int>(column_count)) {
    chunks = (columns + 31) / 32;
    width = (columns + chunks - 1) / chunks;
    const int threads = std::min(block_threads(256), most_threads);
    lanes = threads / width;
    const int64_t wanted = std::max<int64_t>(1, (rows + lanes - 1) / lanes);
    const int64_t blocks = grid_blocks(stream, wanted * chunks, blocks_per_multiprocessor);
    row_blocks = std::clamp<int64_t>(blocks / chunks, 1, wanted);
    launch = {row_blocks * chunks, threads};
  }
};

/// A thread's place: it takes rows row, row + row_step(), ...
struct ColumnPlace {
  int row_block, lane, column;
  int64_t row;
  bool active;  // has a column and a row lane; the others only take part in barriers

  __device__ explicit ColumnPlace(const ColumnGrid& grid) {
    row_block = static_cast<int>(blockIdx.x) / grid.chunks;
    lane = static_cast<int>(threadIdx.x) / grid.width;
    column = static_cast<int>(blockIdx.x) % grid.chunks * grid.width + static_cast<int>(threadIdx.x) % grid.width;
    row = int64_t{row_block} * grid.lanes + lane;
    active = lane < grid.lanes && column < grid.columns;
  }
};

/// Per-channel values out[j] = table[(first + j) % channels], first < channels.
template <int N>
__device__ inline void load_channels(const float* table, int64_t channels, int64_t first, float (&out)[N]) {
  if (N % 4 == 0 && first + N <= channels && reinterpret_cast<uintptr_t>(table + first) % 16 == 0) {
#pragma unroll
    for (int j = 0; j + 4 <= N; j += 4) {
      float part[4];
      load(table + first + j, part);
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        out[j + k] = part[k];
      }
    }
    return;
  }
#pragma unroll
  for (int j = 0; j < N; ++j) {
    out[j] = table[first];
    first = first + 1 == channels ? 0 : first + 1;
  }
}

// Sums over rows of two quantities of each element of a column, in two kernels. The first adds up in fp32 over a thread's rows,
// then over the lanes of its block, and writes a row of partial sums; the second adds those up in double. The order is fixed.

/// Dynamic shared memory of a block for add_lanes.
template <int N>
int64_t lane_sums_bytes(int threads) {
  return int64_t{threads} / 2 * 2 * N * static_cast<int64_t>(sizeof(float));
}

/// Lane 0 of each column gets the sums over its lanes. All threads of the block must call.
template <int N>
__device__ inline void add_lanes(const ColumnGrid& grid, const ColumnPlace& place, float (&sum)[2][N]) {
  auto* shared = dynamic_shared<float>();
  const int slots = static_cast<int>(blockDim.x) / 2;
  const int thread = static_cast<int>(threadIdx.x);
  for (int count = grid.lanes; count > 1;) {
    const int half = (count + 1) / 2;
    block_barrier();  // what was here before has been read
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

/// Of a block of finish_sums_kernel, at most: its double sums take more than the 64 registers that 1024 threads can have.
inline constexpr int kFinishThreads = 512;

/// finish(channel, sum 0, sum 1) for each channel: partial sums are added over the row blocks and over the places of a row of
/// `width` elements that belong to the channel. A warp takes 32 adjacent channels of a row, the warps of a block share the
/// rows.
template <class Finish>
__global__ void __launch_bounds__(kFinishThreads)
    finish_sums_kernel(int64_t channels, int64_t width, int64_t row_blocks, const float* partials, Finish finish) {
  RESIDUA_SHARED(double, first, kFinishThreads);
  RESIDUA_SHARED(double, second, kFinishThreads);
  const int thread = static_cast<int>(threadIdx.x);
  for (int64_t start = int64_t{blockIdx.x} * kWarp; start < channels; start += int64_t{gridDim.x} * kWarp) {
    const int64_t channel = start + lane();
    double sums[2] = {0, 0};
    if (channel < channels) {
      for (int64_t element = channel; element < width; element += channels) {
#pragma unroll 2
        for (int64_t row = warp(); row < row_blocks; row += warps()) {
          const float* from = partials + row * 2 * width + element;
          sums[0] += static_cast<double>(from[0]);
          sums[1] += static_cast<double>(from[width]);
        }
      }
    }
    block_barrier();  // the last turn's sums have been read
    first[thread] = sums[0];
    second[thread] = sums[1];
    block_barrier();
    if (warp() == 0 && channel < channels) {
      for (int w = 1; w < warps(); ++w) {
        sums[0] += first[w * kWarp + thread];
        sums[1] += second[w * kWarp + thread];
      }
      finish(channel, sums[0], sums[1]);
    }
  }
}

template <int N, class Finish>
void finish_sums(Stream& stream, const ColumnGrid& grid, int64_t channels, const float* partials, const Finish& finish) {
  const LaunchShape shape{grid_blocks(stream, (channels + kWarp - 1) / kWarp, 4),
                          std::min(block_threads(kFinishThreads), kFinishThreads)};
  launch(stream, shape, finish_sums_kernel<Finish>, channels, int64_t{grid.columns} * N, grid.row_blocks, partials, finish);
}

}  // namespace residua::cuda
