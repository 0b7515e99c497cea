// y = factor * x. One thread per element, grid-stride; each byte crosses device memory once.
#include "core/kernels/scale.h"

#include "cuda/device/launch.cuh"

namespace residua::cuda {
namespace {

__global__ void scale_kernel(Scale args) {
  for (int64_t i = global_thread(); i < args.size; i += grid_threads()) {
    args.y[i] = args.factor * args.x[i];
  }
}

}  // namespace

void run(const Scale& args, Stream& stream) { launch(stream, grid_for(stream, args.size), scale_kernel, args); }

}  // namespace residua::cuda
