// y = x in another type. A thread has several packs in flight, each 16 bytes of the wider type; each byte crosses device memory
// once.
#include "core/kernels/cast.h"

#include "cuda/device/pack_batches.cuh"

namespace residua::cuda {
namespace {

constexpr int kBatch = 4;

template <class X, class Y, int N>
__global__ void cast_kernel(int64_t size, const X* x, Y* y) {
  for_pack_batches<N, kBatch>(
      size, [=]<int K>(int64_t i, Elements<K>) { return pack_at<K>(x + i); },
      [=]<int K>(int64_t i, const Pack<X, K>& pack) {
        float v[K];
        widen(pack, v);
        store(y + i, v);
      });
}

}  // namespace

void run(const Cast& args, Stream& stream) {
  visit_float(args.x_dtype, [&]<class X>() {
    visit_float(args.y_dtype, [&]<class Y>() {
      const auto* x = static_cast<const X*>(args.x);
      auto* y = static_cast<Y*>(args.y);
      using Wider = std::conditional_t<(sizeof(X) > sizeof(Y)), X, Y>;
      visit_pack<Wider>(aligned_to(16, x, y), [&]<int N>(Elements<N>) {
        launch(stream, grid_for_batches(stream, args.size / N, kBatch), cast_kernel<X, Y, N>, args.size, x, y);
      });
    });
  });
}

}  // namespace residua::cuda
