// y[c] = sum over rows of x[r, c]. The rows are divided into slabs. A thread sums a 16-byte pack of columns over one slab into
// the workspace, and a second kernel adds the slabs in order. Each byte of x crosses device memory once. Writing and reading
// the partial sums adds at most one eighth of that. If the columns alone fill the GPU, there is only one slab and no second
// kernel.
#include "core/kernels/column_sum.h"

#include "cuda/device/vec.cuh"

namespace residua::cuda {
namespace {

constexpr int64_t kLeastRows = 16;                   // per slab
constexpr int64_t kThreadsPerMultiprocessor = 1024;  // enough to saturate memory

template <class T, int N>
__global__ void sum_slabs(int64_t rows, int64_t columns, int64_t slabs, const T* x, float* y) {
  const int64_t packs = columns / N;
  const int64_t slab_rows = (rows + slabs - 1) / slabs;
  for (int64_t item = global_thread(); item < packs * slabs; item += grid_threads()) {
    const int64_t slab = item / packs;
    const int64_t column = (item - slab * packs) * N;
    const int64_t end = (slab + 1) * slab_rows < rows ? (slab + 1) * slab_rows : rows;
    float sum[N] = {};
#pragma unroll 4
    for (int64_t r = slab * slab_rows; r < end; ++r) {
      float v[N];
      load(x + r * columns + column, v);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        sum[j] += v[j];
      }
    }
    store(y + slab * columns + column, sum);
  }
}

__global__ void add_slabs(int64_t columns, int64_t slabs, const float* partial, float* y) {
  for (int64_t c = global_thread(); c < columns; c += grid_threads()) {
    float sum = 0;
#pragma unroll 8
    for (int64_t s = 0; s < slabs; ++s) {
      sum += partial[s * columns + c];
    }
    y[c] = sum;
  }
}

}  // namespace

void run(const ColumnSum& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    const bool packed = args.columns % kVec<T> == 0 && aligned_to(16, x) && aligned_to(4 * kVec<T>, args.y);
    visit_pack<T>(packed, [&]<int N>(Elements<N>) {
      const int64_t packs = std::max<int64_t>(args.columns / N, 1);
      const int64_t wanted = kThreadsPerMultiprocessor * stream.multiprocessors() / packs;
      const int64_t slabs = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(args.rows / kLeastRows, 1));
      const LaunchShape shape = grid_for(stream, packs * slabs, 128);
      if (slabs == 1) {
        launch(stream, shape, sum_slabs<T, N>, args.rows, args.columns, slabs, x, args.y);
        return;
      }
      const device_api::Workspace workspace(stream.device(), slabs * args.columns * int64_t{sizeof(float)});
      auto* partial = static_cast<float*>(workspace.data());
      launch(stream, shape, sum_slabs<T, N>, args.rows, args.columns, slabs, x, partial);
      launch(stream, grid_for(stream, args.columns, 128), add_slabs, args.columns, slabs, partial, args.y);
    });
  });
}

}  // namespace residua::cuda
