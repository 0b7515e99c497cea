// Whether any element is infinite or NaN. A thread has several packs of 16 bytes in flight; each byte crosses device memory
// once. If a warp finds one, a single thread reports it; all warps write the same value.
#include "core/kernels/check_finite.h"

#include "cuda/device/pack_batches.cuh"
#include "cuda/device/warp.cuh"

namespace residua::cuda {
namespace {

constexpr int kBatch = 4;

template <class T, int N>
__global__ void check_finite_kernel(int64_t size, const T* x, StepState* state) {
  float zero = 0;  // 0 * x is 0 if x is finite, and NaN otherwise
  for_pack_batches<N, kBatch>(
      size, [=]<int K>(int64_t i, Elements<K>) { return pack_at<K>(x + i); },
      [&]<int K>(int64_t, const Pack<T, K>& pack) {
#pragma unroll
        for (int j = 0; j < K; ++j) {
          zero += widen(pack.v[j]) * 0.0f;
        }
      });
  if (ballot(zero != 0) != 0 && lane() == 0) {
    atomicExch(&state->found_inf, 1);
  }
}

}  // namespace

void run(const CheckFinite& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    visit_pack<T>(aligned_to(16, x), [&]<int N>(Elements<N>) {
      launch(stream, grid_for_batches(stream, args.size / N, kBatch), check_finite_kernel<T, N>, args.size, x, args.state);
    });
  });
}

}  // namespace residua::cuda
