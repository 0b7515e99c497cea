// rstd = 1 / sqrt(variance + epsilon). One thread per channel, grid-stride.
#include "core/kernels/batch_norm_rstd.h"

#include "cuda/device/launch.cuh"

namespace residua::cuda {
namespace {

__global__ void rstd_kernel(BatchNormRstd args) {
  for (int64_t c = global_thread(); c < args.channels; c += grid_threads()) {
    args.rstd[c] = rsqrtf(args.variance[c] + args.epsilon);
  }
}

}  // namespace

void run(const BatchNormRstd& args, Stream& stream) { launch(stream, grid_for(stream, args.channels), rstd_kernel, args); }

}  // namespace residua::cuda
