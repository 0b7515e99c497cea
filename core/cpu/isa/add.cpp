#include "core/kernels/add.h"

#include "core/cpu/isa.h"
#include "core/cpu/parallel.h"
#include "core/cpu/vec.h"

namespace residua::cpu::RESIDUA_ISA {

void run(const Add& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() {
    const T* a = static_cast<const T*>(args.a);
    const T* b = static_cast<const T*>(args.b);
    T* y = static_cast<T*>(args.y);
    parallel_ranges(args.size, 4096, [=](int, int64_t begin, int64_t end) {
      for_blocks<4>(end - begin, [=](int64_t offset, auto extent) {
        for (int v = 0; v < extent.kVectors; ++v) {
          const int64_t i = begin + offset + v * kLanes;
          store(y + i, load(a + i, extent) + load(b + i, extent), extent);
        }
      });
    });
  });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::Add)
