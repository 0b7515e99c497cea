// y = max(x, 0), dx = dy where y > 0. A thread has several packs of 16 bytes of each tensor in flight; each byte crosses device
// memory once.
#include "core/kernels/relu.h"

#include "cuda/device/pack_batches.cuh"

namespace residua::cuda {
namespace {

constexpr int kForwardBatch = 4;
constexpr int kBackwardBatch = 2;

template <class T, int N>
__global__ void relu_forward(int64_t size, const T* x, T* y) {
  for_pack_batches<N, kForwardBatch>(
      size, [=]<int K>(int64_t i, Elements<K>) { return pack_at<K>(x + i); },
      [=]<int K>(int64_t i, const Pack<T, K>& pack) {
        float v[K];
        widen(pack, v);
#pragma unroll
        for (int j = 0; j < K; ++j) {
          v[j] = v[j] <= 0 ? 0 : v[j];  // the comparison is false for NaN
        }
        store(y + i, v);
      });
}

template <class T, int N>
struct Gradient {
  Pack<T, N> y, dy;
};

template <class T, int N>
__global__ void relu_backward(int64_t size, const T* y, const T* dy, T* dx) {
  for_pack_batches<N, kBackwardBatch>(
      size,
      [=]<int K>(int64_t i, Elements<K>) {
        return Gradient<T, K>{pack_at<K>(y + i), pack_at<K>(dy + i)};
      },
      [=]<int K>(int64_t i, const Gradient<T, K>& packs) {
        float v[K];
        float g[K];
        widen(packs.y, v);
        widen(packs.dy, g);
#pragma unroll
        for (int j = 0; j < K; ++j) {
          g[j] = v[j] > 0 ? g[j] : 0;
        }
        store(dx + i, g);
      });
}

}  // namespace

void run(const ReluForward& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    const auto* x = static_cast<const T*>(args.x);
    auto* y = static_cast<T*>(args.y);
    visit_pack<T>(aligned_to(16, x, y), [&]<int N>(Elements<N>) {
      launch(stream, grid_for_batches(stream, args.size / N, kForwardBatch), relu_forward<T, N>, args.size, x, y);
    });
  });
}

void run(const ReluBackward& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    const auto* y = static_cast<const T*>(args.y);
    const auto* dy = static_cast<const T*>(args.dy);
    auto* dx = static_cast<T*>(args.dx);
    visit_pack<T>(aligned_to(16, y, dy, dx), [&]<int N>(Elements<N>) {
      launch(stream, grid_for_batches(stream, args.size / N, kBackwardBatch), relu_backward<T, N>, args.size, y, dy, dx);
    });
  });
}

}  // namespace residua::cuda
