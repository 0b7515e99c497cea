#include "core/kernels/masked_mean.h"

#include "core/cpu/isa.h"

namespace residua::cpu::RESIDUA_ISA {

void run(const MaskedMean& args, Stream&) {
  double sum = 0.0;
  int64_t counted = 0;
  for (int64_t i = 0; i < args.rows; ++i) {
    sum += static_cast<double>(args.loss[i]);
    counted += args.labels[i] >= 0 ? 1 : 0;
  }
  *args.y = counted > 0 ? static_cast<float>(sum / static_cast<double>(counted)) : 0.0f;
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::MaskedMean)
