#include "core/kernels/relu.h"

#include "core/cpu/isa.h"
#include "core/cpu/parallel.h"
#include "core/cpu/vec.h"

namespace residua::cpu::RESIDUA_ISA {

void run(const ReluForward& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() {
    const T* x = static_cast<const T*>(args.x);
    T* y = static_cast<T*>(args.y);
    parallel_ranges(args.size, 4096, [=](int, int64_t begin, int64_t end) {
      for_blocks<4>(end - begin, [=](int64_t offset, auto extent) {
        for (int v = 0; v < extent.kVectors; ++v) {
          const int64_t i = begin + offset + v * kLanes;
          store(y + i, at_least(load(x + i, extent), 0), extent);
        }
      });
    });
  });
}

void run(const ReluBackward& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() {
    const T* y = static_cast<const T*>(args.y);
    const T* dy = static_cast<const T*>(args.dy);
    T* dx = static_cast<T*>(args.dx);
    parallel_ranges(args.size, 4096, [=](int, int64_t begin, int64_t end) {
      for_blocks<4>(end - begin, [=](int64_t offset, auto extent) {
        for (int v = 0; v < extent.kVectors; ++v) {
          const int64_t i = begin + offset + v * kLanes;
          store(dx + i, select(load(y + i, extent) > 0, load(dy + i, extent), Floats{}), extent);
        }
      });
    });
  });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::ReluForward)
RESIDUA_CPU_KERNEL(residua::ReluBackward)
