// y = a + b. Grid-stride, vectorized loads of 16 bytes; each byte crosses device memory once.
#include "core/kernels/add.h"

#include "cuda/device/vec.cuh"

namespace residua::cuda {
namespace {

template <class T, int N>
__global__ void add_kernel(int64_t size, const T* a, const T* b, T* y) {
  for_packs<N>(size, [=](int64_t i, auto elements) {
    constexpr int kCount = decltype(elements)::kCount;
    float sum[kCount];
    float term[kCount];
    load(a + i, sum);
    load(b + i, term);
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      sum[j] += term[j];
    }
    store(y + i, sum);
  });
}

}  // namespace

void run(const Add& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    const auto* a = static_cast<const T*>(args.a);
    const auto* b = static_cast<const T*>(args.b);
    auto* y = static_cast<T*>(args.y);
    visit_pack<T>(aligned_to(16, a, b, y), [&](auto elements) {
      constexpr int kCount = decltype(elements)::kCount;
      launch(stream, grid_for(stream, args.size / kCount), add_kernel<T, kCount>, args.size, a, b, y);
    });
  });
}

}  // namespace residua::cuda
