#include "core/kernels/accumulate_metrics.h"

#include "core/cpu/isa.h"

namespace residua::cpu::RESIDUA_ISA {

void run(const AccumulateMetrics& args, Stream&) {
  if (args.state != nullptr && args.state->found_inf != 0) {
    return;
  }
  double loss = 0;
  int64_t images = 0;
  for (int64_t row = 0; row < args.rows; ++row) {
    loss += static_cast<double>(args.row_loss[row]);
    images += args.labels[row] >= 0 ? 1 : 0;
  }
  args.sums->loss += loss;
  args.sums->images += images;
  args.sums->top1_errors += *args.top1_errors;
  args.sums->top5_errors += *args.top5_errors;
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::AccumulateMetrics)
