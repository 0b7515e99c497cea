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
      int64_t i = begin;
      for (; i + kLanes <= end; i += kLanes) {
        store(y + i, load(a + i) + load(b + i));
      }
      if (i < end) {
        store_part(y + i, load_part(a + i, end - i) + load_part(b + i, end - i), end - i);
      }
    });
  });
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::Add)
