// y[r, c] += bias[c]. Grid-stride, vectorized loads of 16 bytes if the row length allows it. Each byte of y crosses device
// memory twice (read and write); the bias stays in the cache.
#include "cuda/kernels/add_bias.h"

#include "cuda/device/vec.cuh"

namespace residua::cuda {
namespace {

template <int N>
__global__ void add_bias_kernel(int64_t size, int64_t columns, const float* bias, float* y) {
  for_packs<N>(size, [=](int64_t i, auto elements) {
    constexpr int kCount = decltype(elements)::kCount;
    float sum[kCount];
    float term[kCount];
    load(y + i, sum);
    load(bias + i % columns, term);
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      sum[j] += term[j];
    }
    store(y + i, sum);
  });
}

}  // namespace

void run(const AddBias& args, Stream& stream) {
  const int64_t size = args.rows * args.columns;
  visit_pack<float>(args.columns % kVec<float> == 0 && aligned_to(16, args.bias, args.y), [&]<int N>(Elements<N>) {
    launch(stream, grid_for(stream, size / N), add_bias_kernel<N>, size, args.columns, args.bias, args.y);
  });
}

}  // namespace residua::cuda
