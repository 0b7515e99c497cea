#include "core/kernels/cast.h"

#include "core/cpu/isa.h"
#include "core/cpu/parallel.h"
#include "core/cpu/vec.h"

namespace residua::cpu::RESIDUA_ISA {

void run(const Cast& args, Stream&) {
  visit_float(args.x_dtype, [&]<class X>() {
    visit_float(args.y_dtype, [&]<class Y>() {
      const X* x = static_cast<const X*>(args.x);
      Y* y = static_cast<Y*>(args.y);
      parallel_ranges(args.size, 4096, [=](int, int64_t begin, int64_t end) {
        for_blocks<4>(end - begin, [=](int64_t i, auto extent) {
          for (int v = 0; v < extent.kVectors; ++v) {
            store(y + begin + i + v * kLanes, load(x + begin + i + v * kLanes, extent), extent);
          }
        });
      });
    });
  });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::Cast)
