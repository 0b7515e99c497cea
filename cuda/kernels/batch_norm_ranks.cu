// Statistics over ranks, and shares of sums over ranks. One thread per channel or sum, grid-stride; reads 8 bytes per rank and
// channel, and each rank's number of rows, which the caches hold.
#include "core/kernels/batch_norm_ranks.h"

#include "cuda/device/launch.cuh"

namespace residua::cuda {
namespace {

__global__ void combine_kernel(BatchNormCombine args) {
  const int64_t row = 2 * args.channels + 1;
  for (int64_t c = global_thread(); c < args.channels; c += grid_threads()) {
    double n = 0;
    double mean = 0;
    double squares = 0;
    for (int64_t r = 0; r < args.ranks; ++r) {
      const float* part = args.parts + r * row;
      const auto k = static_cast<double>(part[2 * args.channels]);
      const double d = static_cast<double>(part[c]) - mean;
      const double share = k / (n + k);
      squares += k * static_cast<double>(part[args.channels + c]) + d * d * n * share;
      mean += d * share;
      n += k;
    }
    args.mean[c] = static_cast<float>(mean);
    args.variance[c] = static_cast<float>(squares / n);
    args.rstd[c] = static_cast<float>(rsqrt(squares / n + static_cast<double>(args.epsilon)));
    if (args.bessel_correction != nullptr) {
      args.bessel_correction[c] = static_cast<float>(n / (n - 1));
    }
    if (c == 0) {
      *args.share = static_cast<float>(static_cast<double>(args.parts[args.rank * row + 2 * args.channels]) / n);
    }
  }
}

__global__ void share_sums_kernel(BatchNormShareSums args) {
  const float share = *args.share;
  for (int64_t i = global_thread(); i < args.size; i += grid_threads()) {
    args.sums[i] *= share;
  }
}

}  // namespace

void run(const BatchNormCombine& args, Stream& stream) {
  launch(stream, grid_for(stream, args.channels), combine_kernel, args);
}

void run(const BatchNormShareSums& args, Stream& stream) {
  launch(stream, grid_for(stream, args.size), share_sums_kernel, args);
}

}  // namespace residua::cuda
