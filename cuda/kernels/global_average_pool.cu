// y[n, c] = mean of x[n, :, c]. Forward: a warp processes 8 packs of 16 bytes of one image's channels. Each lane sums every
// fourth pixel of one pack, then the four lanes of a pack are added. Backward: a thread writes one pack of dx at a time, and dy
// stays in the caches. Each byte crosses device memory once.
#include "core/kernels/pooling.h"

#include "cuda/device/unflatten.cuh"
#include "cuda/device/vec.cuh"
#include "cuda/device/warp.cuh"

namespace residua::cuda {
namespace {

constexpr int kPacksOfWarp = 8;
constexpr int kPixelsOfWarp = kWarp / kPacksOfWarp;

template <class T, int N>
__global__ void global_average_pool_forward(GlobalAveragePoolForward args, int64_t groups) {
  const int64_t packs = args.channels / N;
  const float share = 1 / static_cast<float>(args.area);
  for (int64_t item = global_thread() / kWarp; item < args.batch * groups; item += grid_threads() / kWarp) {
    const int64_t n = item / groups;
    const int64_t pack = (item - n * groups) * kPacksOfWarp + lane() % kPacksOfWarp;
    const T* x = static_cast<const T*>(args.x) + n * args.area * args.channels + pack * N;
    const int64_t area = pack < packs ? args.area : 0;
    float total[N] = {};
#pragma unroll 4
    for (int64_t a = lane() / kPacksOfWarp; a < area; a += kPixelsOfWarp) {
      float v[N];
      load(x + a * args.channels, v);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        total[j] += v[j];
      }
    }
#pragma unroll
    for (int j = 0; j < N; ++j) {
      total[j] = warp_sum(total[j], kPacksOfWarp) * share;
    }
    if (pack < packs && lane() < kPacksOfWarp) {
      store(static_cast<T*>(args.y) + n * args.channels + pack * N, total);
    }
  }
}

template <class T, int N>
__global__ void global_average_pool_backward(GlobalAveragePoolBackward args, Unflatten unflatten, int64_t packs) {
  const float share = 1 / static_cast<float>(args.area);
  for (int64_t i = global_thread(); i < packs; i += grid_threads()) {
    const auto place = unflatten(i);
    float v[N];
    load(static_cast<const T*>(args.dy) + place.image * args.channels + place.depth * N, v);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      v[j] *= share;
    }
    store(static_cast<T*>(args.dx) + i * N, v);
  }
}

template <class T>
bool packs_fit(int64_t channels, const void* x, const void* y) {
  return channels % kVec<T> == 0 && aligned_to(16, static_cast<const T*>(x), static_cast<const T*>(y));
}

}  // namespace

void run(const GlobalAveragePoolForward& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    visit_pack<T>(packs_fit<T>(args.channels, args.x, args.y), [&]<int N>(Elements<N>) {
      const int64_t groups = (args.channels / N + kPacksOfWarp - 1) / kPacksOfWarp;
      launch(stream, grid_for(stream, args.batch * groups * kWarp, 128), global_average_pool_forward<T, N>, args, groups);
    });
  });
}

void run(const GlobalAveragePoolBackward& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() {
    visit_pack<T>(packs_fit<T>(args.channels, args.dx, args.dy), [&]<int N>(Elements<N>) {
      const int64_t packs = args.batch * args.area * args.channels / N;
      launch(stream, grid_for(stream, packs), global_average_pool_backward<T, N>, args,
             Unflatten(1, args.area, args.channels / N), packs);
    });
  });
}

}  // namespace residua::cuda
