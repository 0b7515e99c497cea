// Grid-stride; a thread computes one 16-byte pack of y or dx at a time. Each byte crosses device memory once: windows may
// overlap, but the caches hold what they share.
#include "cuda/device/vec.cuh"
#include "cuda/kernels/pool_window.cuh"

namespace residua::cuda {
namespace {

/// y = share * the sum of a rectangle of packs whose rows are `pitch` elements apart.
template <int N, class T>
__device__ inline void scaled_sum(const T* x, int64_t rows, int64_t columns, int64_t pitch, int64_t channels, float share,
                                  T* y) {
  float total[N] = {};
  for (int64_t h = 0; h < rows; ++h) {
#pragma unroll 2
    for (int64_t w = 0; w < columns; ++w) {
      float v[N];
      load(x + h * pitch + w * channels, v);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        total[j] += v[j];
      }
    }
  }
#pragma unroll
  for (int j = 0; j < N; ++j) {
    total[j] *= share;
  }
  store(y, total);
}

template <class T, int N>
__global__ void average_pool_forward(AveragePoolForward args, Unflatten unflatten, int64_t packs) {
  const PoolShape& s = args.shape;
  const float share = 1 / static_cast<float>(s.window * s.window);
  for (int64_t i = global_thread(); i < packs; i += grid_threads()) {
    const auto at = unflatten(i);
    const PoolWindow high(at.row, s.in_height, s);
    const PoolWindow wide(at.column, s.in_width, s);
    const int64_t from = ((at.image * s.in_height + high.begin) * s.in_width + wide.begin) * s.channels + at.depth * N;
    scaled_sum<N>(static_cast<const T*>(args.x) + from, high.count, wide.count, s.in_width * s.channels, s.channels, share,
                  static_cast<T*>(args.y) + i * N);
  }
}

template <class T, int N>
__global__ void average_pool_backward(AveragePoolBackward args, int64_t out_height, int64_t out_width, Unflatten unflatten,
                                      Divisor stride, int64_t packs) {
  const PoolShape& s = args.shape;
  const float share = 1 / static_cast<float>(s.window * s.window);
  for (int64_t i = global_thread(); i < packs; i += grid_threads()) {
    const auto at = unflatten(i);
    const PoolCover high(at.row, out_height, s, stride);
    const PoolCover wide(at.column, out_width, s, stride);
    const int64_t from = ((at.image * out_height + high.begin) * out_width + wide.begin) * s.channels + at.depth * N;
    scaled_sum<N>(static_cast<const T*>(args.dy) + from, high.end - high.begin, wide.end - wide.begin, out_width * s.channels,
                  s.channels, share, static_cast<T*>(args.dx) + i * N);
  }
}

template <class T>
bool packs_fit(const PoolShape& s, const void* x, const void* y) {
  return s.channels % kVec<T> == 0 && aligned_to(16, static_cast<const T*>(x), static_cast<const T*>(y));
}

}  // namespace

void run(const AveragePoolForward& args, Stream& stream) {
  const PoolShape& s = args.shape;
  visit_float(args.dtype, [&]<class T>() {
    visit_pack<T>(packs_fit<T>(s, args.x, args.y), [&]<int N>(Elements<N>) {
      const int64_t packs = s.batch * s.out_height() * s.out_width() * s.channels / N;
      launch(stream, grid_for(stream, packs), average_pool_forward<T, N>, args,
             Unflatten(s.out_height(), s.out_width(), s.channels / N), packs);
    });
  });
}

void run(const AveragePoolBackward& args, Stream& stream) {
  const PoolShape& s = args.shape;
  visit_float(args.dtype, [&]<class T>() {
    visit_pack<T>(packs_fit<T>(s, args.dx, args.dy), [&]<int N>(Elements<N>) {
      const int64_t packs = s.batch * s.in_height * s.in_width * s.channels / N;
      launch(stream, grid_for(stream, packs), average_pool_backward<T, N>, args, s.out_height(), s.out_width(),
             Unflatten(s.in_height, s.in_width, s.channels / N), Divisor(s.stride), packs);
    });
  });
}

}  // namespace residua::cuda
