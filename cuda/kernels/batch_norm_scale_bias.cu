// scale = gamma * rstd, bias = beta - mean * scale. One thread per channel, grid-stride; reads a few kilobytes.
#include "cuda/kernels/batch_norm_scale_bias.h"

#include "cuda/device/vec.cuh"

namespace residua::cuda {
namespace {

template <class T>
__global__ void scale_bias_kernel(BatchNormScaleBias args) {
  for (int64_t c = global_thread(); c < args.channels; c += grid_threads()) {
    const T scale = narrow<T>(args.gamma[c] * args.rstd[c]);
    static_cast<T*>(args.scale)[c] = scale;
    static_cast<T*>(args.bias)[c] = narrow<T>(args.beta[c] - args.mean[c] * widen(scale));
  }
}

}  // namespace

void run(const BatchNormScaleBias& args, Stream& stream) {
  visit_float(args.dtype, [&]<class T>() { launch(stream, grid_for(stream, args.channels), scale_bias_kernel<T>, args); });
}

}  // namespace residua::cuda
