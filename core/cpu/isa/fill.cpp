#include "core/kernels/fill.h"

#include "core/cpu/isa.h"
#include "core/cpu/parallel.h"
#include "core/cpu/vec.h"

namespace residua::cpu::RESIDUA_ISA {

void run(const Fill& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() {
    T* x = static_cast<T*>(args.x);
    const float value = args.value;
    parallel_ranges(args.size, 4096, [=](int, int64_t begin, int64_t end) {
      for_blocks<4>(end - begin, [=](int64_t i, auto extent) {
        for (int v = 0; v < extent.kVectors; ++v) {
          store(x + begin + i + v * kLanes, broadcast(value), extent);
        }
      });
    });
  });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::Fill)
