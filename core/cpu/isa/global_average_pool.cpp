#include "core/cpu/isa.h"
#include "core/cpu/parallel.h"
#include "core/cpu/vec.h"
#include "core/kernels/pooling.h"

namespace residua::cpu::RESIDUA_ISA {
namespace {

constexpr int64_t kBlock = 4 * kLanes;  // channels per unit of work, so that even one image keeps all threads busy

template <class T>
void forward(const GlobalAveragePoolForward& args) {
  const int64_t channels = args.channels;
  const int64_t blocks = (channels + kBlock - 1) / kBlock;
  parallel_ranges(args.batch * blocks, 1, [&args, channels, blocks](int, int64_t begin, int64_t end) {
    const float share = 1 / static_cast<float>(args.area);
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t n = unit / blocks;
      const int64_t first = unit % blocks * kBlock;
      const T* x = static_cast<const T*>(args.x) + n * args.area * channels + first;
      T* y = static_cast<T*>(args.y) + n * channels + first;
      for_blocks<4>(first + kBlock < channels ? kBlock : channels - first, [&](int64_t c, auto extent) {
        constexpr int kVectors = decltype(extent)::kVectors;
        Floats total[kVectors] = {};
        for (int64_t a = 0; a < args.area; ++a) {
          for (int v = 0; v < kVectors; ++v) {
            total[v] += load(x + a * channels + c + v * kLanes, extent);
          }
        }
        for (int v = 0; v < kVectors; ++v) {
          store(y + c + v * kLanes, total[v] * share, extent);
        }
      });
    }
  });
}

template <class T>
void backward(const GlobalAveragePoolBackward& args) {
  const int64_t channels = args.channels;
  parallel_ranges(args.batch * args.area, 8, [&args, channels](int, int64_t begin, int64_t end) {
    const float share = 1 / static_cast<float>(args.area);
    for (int64_t row = begin; row < end; ++row) {
      const T* dy = static_cast<const T*>(args.dy) + row / args.area * channels;
      T* dx = static_cast<T*>(args.dx) + row * channels;
      for_blocks<4>(channels, [&](int64_t c, auto extent) {
        for (int v = 0; v < extent.kVectors; ++v) {
          store(dx + c + v * kLanes, load(dy + c + v * kLanes, extent) * share, extent);
        }
      });
    }
  });
}

}  // namespace

void run(const GlobalAveragePoolForward& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() { forward<T>(args); });
}

void run(const GlobalAveragePoolBackward& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() { backward<T>(args); });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::GlobalAveragePoolForward)
RESIDUA_CPU_KERNEL(residua::GlobalAveragePoolBackward)
