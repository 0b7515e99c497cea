#include "core/kernels/batch_norm_group_statistics.h"

#include "core/cpu/isa.h"

namespace residua::cpu::RESIDUA_ISA {

void run(const BatchNormGroupMean& args, Stream&) {
  const int64_t groups = (args.rows + args.group_rows - 1) / args.group_rows;
  for (int64_t c = 0; c < args.channels; ++c) {
    double mean = 0;
    double variance = 0;
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t left = args.rows - g * args.group_rows;
      const double n = static_cast<double>(left < args.group_rows ? left : args.group_rows);
      mean += static_cast<double>(args.group_mean[g * args.channels + c]);
      variance += static_cast<double>(args.group_variance[g * args.channels + c]) * (n / (n - 1));
    }
    args.mean[c] = static_cast<float>(mean / static_cast<double>(groups));
    args.variance[c] = static_cast<float>(variance / static_cast<double>(groups));
  }
}

void run(const BatchNormAddTotals& args, Stream&) {
  for (int64_t c = 0; c < args.channels; ++c) {
    BatchNormTotal total = args.totals[c];
    int64_t i = c;
    for (int64_t left = args.rows; left > 0; left -= args.group_rows, i += args.channels) {
      const double n = static_cast<double>(left < args.group_rows ? left : args.group_rows);
      const double difference = static_cast<double>(args.group_mean[i]) - total.mean;
      const double share = n / (total.count + n);
      total.mean += difference * share;
      total.squares += n * static_cast<double>(args.group_variance[i]) + difference * difference * total.count * share;
      total.count += n;
    }
    args.totals[c] = total;
  }
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::BatchNormGroupMean)
RESIDUA_CPU_KERNEL(residua::BatchNormAddTotals)
