#include "core/kernels/check_finite.h"

#include "core/cpu/isa.h"
#include "core/cpu/parallel.h"
#include "core/cpu/vec.h"

namespace residua::cpu::RESIDUA_ISA {

void run(const CheckFinite& args, Stream&) {
  visit_float(args.dtype, [&]<class T>() {
    const T* x = static_cast<const T*>(args.x);
    int32_t* found = &args.state->found_inf;
    parallel_ranges(args.size, 4096, [=](int, int64_t begin, int64_t end) {
      // 0 * x is 0 if x is finite, and NaN otherwise.
      Floats products[4] = {};
      for_blocks<4>(end - begin, [&](int64_t i, auto extent) {
        for (int v = 0; v < extent.kVectors; ++v) {
          products[v] += load(x + begin + i + v * kLanes, extent) * 0.0f;
        }
      });
      if (sum((products[0] + products[1]) + (products[2] + products[3])) != 0) {
        __atomic_store_n(found, 1, __ATOMIC_RELAXED);
      }
    });
  });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::CheckFinite)
