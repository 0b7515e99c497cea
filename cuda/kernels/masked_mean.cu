// The mean loss of a batch. One block, because a batch has only a few hundred rows. Each byte crosses device memory once.
#include "core/kernels/masked_mean.h"

#include "cuda/device/block.cuh"

namespace residua::cuda {
namespace {

__global__ void counted_mean_kernel(int64_t rows, const float* loss, const int32_t* labels, float* y) {
  double sum = 0;
  int64_t counted = 0;
  for (int64_t i = threadIdx.x; i < rows; i += blockDim.x) {
    sum += static_cast<double>(loss[i]);
    counted += labels[i] >= 0 ? 1 : 0;
  }
  sum = block_sum(sum);
  counted = block_sum(counted);
  if (threadIdx.x == 0) {
    *y = counted > 0 ? static_cast<float>(sum / static_cast<double>(counted)) : 0.0f;
  }
}

}  // namespace

void run(const MaskedMean& args, Stream& stream) {
  launch(stream, {1, block_threads(256)}, counted_mean_kernel, args.rows, args.loss, args.labels, args.y);
}

}  // namespace residua::cuda
