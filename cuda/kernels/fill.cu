// x = value. Grid-stride, vectorized stores of 16 bytes; each byte crosses device memory once.
#include "core/kernels/fill.h"

#include "cuda/device/vec.cuh"

namespace residua::cuda {
namespace {

template <class T, int N>
__global__ void fill_kernel(int64_t size, float value, T* x) {
  for_packs<N>(size, [=]<int K>(int64_t i, Elements<K>) {
    float v[K];
#pragma unroll
    for (int j = 0; j < K; ++j) {
      v[j] = value;
    }
    store(x + i, v);
  });
}

}  // namespace

void run(const Fill& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    auto* x = static_cast<T*>(args.x);
    visit_pack<T>(aligned_to(16, x), [&]<int N>(Elements<N>) {
      launch(stream, grid_for(stream, args.size / N), fill_kernel<T, N>, args.size, args.value, x);
    });
  });
}

}  // namespace residua::cuda
