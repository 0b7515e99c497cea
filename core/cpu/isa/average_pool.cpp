#include "core/cpu/isa.h"
#include "core/cpu/parallel.h"
#include "core/cpu/pool_window.h"
#include "core/cpu/vec.h"
#include "core/kernels/pooling.h"

namespace residua::cpu::RESIDUA_ISA {
namespace {

template <class T>
void forward(const AveragePoolForward& args) {
  const PoolShape s = args.shape;
  const int64_t out_height = s.out_height();
  const int64_t out_width = s.out_width();
  const float share = 1 / static_cast<float>(s.window * s.window);
  parallel_ranges(s.batch * out_height, 1, [&args, s, out_height, out_width, share](int, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* image = static_cast<const T*>(args.x) + row / out_height * s.in_height * s.in_width * s.channels;
      const PoolWindow high(row % out_height, s.in_height, s);
      for (int64_t q = 0; q < out_width; ++q) {
        const PoolWindow wide(q, s.in_width, s);
        for_blocks<4>(s.channels, [&](int64_t c, auto extent) {
          constexpr int kVectors = decltype(extent)::kVectors;
          Floats total[kVectors] = {};
          for (int64_t h = high.begin; h < high.end; ++h) {
            for (int64_t w = wide.begin; w < wide.end; ++w) {
              for (int v = 0; v < kVectors; ++v) {
                total[v] += load(image + (h * s.in_width + w) * s.channels + c + v * kLanes, extent);
              }
            }
          }
          for (int v = 0; v < kVectors; ++v) {
            store(static_cast<T*>(args.y) + (row * out_width + q) * s.channels + c + v * kLanes, total[v] * share, extent);
          }
        });
      }
    }
  });
}

template <class T>
void backward(const AveragePoolBackward& args) {
  const PoolShape s = args.shape;
  const int64_t out_height = s.out_height();
  const int64_t out_width = s.out_width();
  const float share = 1 / static_cast<float>(s.window * s.window);
  parallel_ranges(s.batch * s.in_height, 1, [&args, s, out_height, out_width, share](int, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* image = static_cast<const T*>(args.dy) + row / s.in_height * out_height * out_width * s.channels;
      const PoolCover high(row % s.in_height, out_height, s);
      T* dx = static_cast<T*>(args.dx) + row * s.in_width * s.channels;
      for (int64_t w = 0; w < s.in_width; ++w, dx += s.channels) {
        const PoolCover wide(w, out_width, s);
        for_blocks<4>(s.channels, [&](int64_t c, auto extent) {
          constexpr int kVectors = decltype(extent)::kVectors;
          Floats total[kVectors] = {};
          for (int64_t p = high.begin; p < high.end; ++p) {
            for (int64_t q = wide.begin; q < wide.end; ++q) {
              for (int v = 0; v < kVectors; ++v) {
                total[v] += load(image + (p * out_width + q) * s.channels + c + v * kLanes, extent);
              }
            }
          }
          for (int v = 0; v < kVectors; ++v) {
            store(dx + c + v * kLanes, total[v] * share, extent);
          }
        });
      }
    }
  });
}

}  // namespace

void run(const AveragePoolForward& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() { forward<T>(args); });
}

void run(const AveragePoolBackward& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() { backward<T>(args); });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::AveragePoolForward)
RESIDUA_CPU_KERNEL(residua::AveragePoolBackward)
