#include "core/kernels/batch_norm_rstd.h"

#include <cmath>

#include "core/cpu/isa.h"

namespace residua::cpu::RESIDUA_ISA {

void run(const BatchNormRstd& args, Stream&) {
  for (int64_t c = 0; c < args.channels; ++c) {
    args.rstd[c] = 1.0f / std::sqrt(args.variance[c] + args.epsilon);
  }
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::BatchNormRstd)
