#include "core/cpu/isa.h"
#include "core/cpu/parallel.h"
#include "core/cpu/pool_window.h"
#include "core/cpu/vec.h"
#include "core/kernels/pooling.h"

namespace residua::cpu::RESIDUA_ISA {
namespace {

template <class T>
void forward(const MaxPoolForward& args) {
  const PoolShape s = args.shape;
  const int64_t out_height = s.out_height();
  const int64_t out_width = s.out_width();
  parallel_ranges(s.batch * out_height, 1, [&args, s, out_height, out_width](int, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* image = static_cast<const T*>(args.x) + row / out_height * s.in_height * s.in_width * s.channels;
      const PoolWindow high(row % out_height, s.in_height, s);
      for (int64_t q = 0; q < out_width; ++q) {
        const PoolWindow wide(q, s.in_width, s);
        const int64_t out = (row * out_width + q) * s.channels;
        for_blocks<4>(s.channels, [&](int64_t c, auto extent) {
          constexpr int kVectors = decltype(extent)::kVectors;
          Floats best[kVectors];
          Ints winner[kVectors];
          for (int v = 0; v < kVectors; ++v) {
            best[v] = broadcast(-__builtin_inff());
            winner[v] = Ints{} + static_cast<int32_t>((high.begin - high.first) * s.window + (wide.begin - wide.first));
          }
          for (int64_t h = high.begin; h < high.end; ++h) {
            for (int64_t w = wide.begin; w < wide.end; ++w) {
              const T* x = image + (h * s.in_width + w) * s.channels + c;
              const Ints place = Ints{} + static_cast<int32_t>((h - high.first) * s.window + (w - wide.first));
              for (int v = 0; v < kVectors; ++v) {
                const Floats value = load(x + v * kLanes, extent);
                // True also where the value is NaN, which then stays: nothing is above it, and a second NaN is ruled out.
                const Ints wins = ~(value <= best[v]) & (best[v] == best[v]);
                best[v] = select(wins, value, best[v]);
                winner[v] = wins ? place : winner[v];
              }
            }
          }
          for (int v = 0; v < kVectors; ++v) {
            store(static_cast<T*>(args.y) + out + c + v * kLanes, best[v], extent);
            if (args.index != nullptr) {
              store_bytes(args.index + out + c + v * kLanes, winner[v], extent);
            }
          }
        });
      }
    }
  });
}

/// Each pixel of dx looks at the windows that it lies in: nothing is added in memory, and the order of the sum is fixed.
template <class T>
void backward(const MaxPoolBackward& args) {
  const PoolShape s = args.shape;
  const int64_t out_height = s.out_height();
  const int64_t out_width = s.out_width();
  parallel_ranges(s.batch * s.in_height, 1, [&args, s, out_height, out_width](int, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t h = row % s.in_height;
      const int64_t image = row / s.in_height * out_height * out_width * s.channels;
      const PoolCover high(h, out_height, s);
      T* dx = static_cast<T*>(args.dx) + row * s.in_width * s.channels;
      for (int64_t w = 0; w < s.in_width; ++w, dx += s.channels) {
        const PoolCover wide(w, out_width, s);
        for_blocks<4>(s.channels, [&](int64_t c, auto extent) {
          constexpr int kVectors = decltype(extent)::kVectors;
          Floats total[kVectors] = {};
          for (int64_t p = high.begin; p < high.end; ++p) {
            for (int64_t q = wide.begin; q < wide.end; ++q) {
              const int64_t out = image + (p * out_width + q) * s.channels + c;
              const int64_t place = (h + s.padding - p * s.stride) * s.window + (w + s.padding - q * s.stride);
              for (int v = 0; v < kVectors; ++v) {
                const LaneBits won = bits_equal(args.index + out + v * kLanes, static_cast<uint8_t>(place), extent);
                total[v] += keep(won, load(static_cast<const T*>(args.dy) + out + v * kLanes, extent));
              }
            }
          }
          for (int v = 0; v < kVectors; ++v) {
            store(dx + c + v * kLanes, total[v], extent);
          }
        });
      }
    }
  });
}

}  // namespace

void run(const MaxPoolForward& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() { forward<T>(args); });
}

void run(const MaxPoolBackward& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() { backward<T>(args); });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::MaxPoolForward)
RESIDUA_CPU_KERNEL(residua::MaxPoolBackward)
