#include "core/kernels/batch_norm_ranks.h"

#include <cmath>

#include "core/cpu/isa.h"

namespace residua::cpu::RESIDUA_ISA {

void run(const BatchNormCombine& args, Stream&) {
  const int64_t row = 2 * args.channels + 1;
  double n = 0;
  for (int64_t c = 0; c < args.channels; ++c) {
    n = 0;
    double mean = 0;
    double squares = 0;
    for (int64_t r = 0; r < args.ranks; ++r) {
      const float* part = args.parts + r * row;
      const double k = static_cast<double>(part[2 * args.channels]);
      const double d = static_cast<double>(part[c]) - mean;
      const double share = k / (n + k);
      squares += k * static_cast<double>(part[args.channels + c]) + d * d * n * share;
      mean += d * share;
      n += k;
    }
    args.mean[c] = static_cast<float>(mean);
    args.variance[c] = static_cast<float>(squares / n);
    args.rstd[c] = static_cast<float>(1 / std::sqrt(squares / n + static_cast<double>(args.epsilon)));
    if (args.bessel_correction != nullptr) {
      args.bessel_correction[c] = static_cast<float>(n / (n - 1));
    }
  }
  *args.share = static_cast<float>(static_cast<double>(args.parts[args.rank * row + 2 * args.channels]) / n);
}

void run(const BatchNormShareSums& args, Stream&) {
  const float share = *args.share;
  for (int64_t i = 0; i < args.size; ++i) {
    args.sums[i] *= share;
  }
}

}  // namespace residua::cpu::RESIDUA_ISA

RESIDUA_CPU_KERNEL(residua::BatchNormCombine)
RESIDUA_CPU_KERNEL(residua::BatchNormShareSums)
