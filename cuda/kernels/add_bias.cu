// y[r, c] += bias[c]. A thread takes 16 bytes of y at a time where rows allow it, grid-stride; each byte of y crosses memory
// twice, there and back, and the bias stays in the cache.
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
