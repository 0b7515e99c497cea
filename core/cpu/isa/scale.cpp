#include "core/kernels/scale.h"

#include "core/cpu/isa.h"

namespace residua::cpu::RESIDUA_ISA {

void run(const Scale& args, Stream&) {
  for (int64_t i = 0; i < args.size; ++i) {
    args.y[i] = args.factor * args.x[i];
  }
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::Scale)
