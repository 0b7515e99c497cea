#include "core/cpu/isa.h"
#include "core/cpu/max_pool_walk.h"
#include "core/kernels/pooling.h"

namespace residua::cpu::RESIDUA_ISA {
namespace {

template <class T>
void forward(const MaxPoolForward& args) {
  const T* x = static_cast<const T*>(args.x);
  T* y = static_cast<T*>(args.y);
  uint8_t* index = args.index;
  for_maxima(
      args.shape, [=](int64_t, auto extent) { return [=](int64_t i, int) { return load(x + i, extent); }; },
      [=](int64_t i, Floats best, Ints winner, auto extent) {
        store(y + i, best, extent);
        if (index != nullptr) {
          store_bytes(index + i, winner, extent);
        }
      });
}

template <class T>
void backward(const MaxPoolBackward& args) {
  const PoolShape s = args.shape;
  const T* dy = static_cast<const T*>(args.dy);
  const uint8_t* index = args.index;
  T* dx = static_cast<T*>(args.dx);
  parallel_ranges(s.batch * s.in_height, 1, [=](int, int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for_blocks<4>(s.channels, [=](int64_t c, auto extent) {
        for_gradients(s, dy, index, row, c, extent, [=](int64_t i, Floats g, int) { store(dx + i, g, extent); });
      });
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
