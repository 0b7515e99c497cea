// mean = sum / rows, variance = sum_of_squares / rows - mean^2. One thread per channel, grid-stride; reads a few kilobytes.
// Uses double precision, so that the difference loses no accuracy beyond that of the fp32 sums.
#include "cuda/kernels/batch_norm_from_sums.h"

#include "cuda/device/launch.cuh"

namespace residua::cuda {
namespace {

__global__ void from_sums_kernel(int64_t channels, double rows, const float* sum, const float* sum_of_squares, float epsilon,
                                 float* mean, float* variance, float* rstd) {
  for (int64_t c = global_thread(); c < channels; c += grid_threads()) {
    const double m = static_cast<double>(sum[c]) / rows;
    const double difference = static_cast<double>(sum_of_squares[c]) / rows - m * m;
    const double v = difference < 0 ? 0 : difference;
    mean[c] = static_cast<float>(m);
    variance[c] = static_cast<float>(v);
    rstd[c] = static_cast<float>(rsqrt(v + static_cast<double>(epsilon)));
  }
}

}  // namespace

void run(const BatchNormFromSums& args, Stream& stream) {
  launch(stream, grid_for(stream, args.channels), from_sums_kernel, args.channels, static_cast<double>(args.rows), args.sum,
         args.sum_of_squares, args.epsilon, args.mean, args.variance, args.rstd);
}

}  // namespace residua::cuda
