// Sums over the rows of a batch. One block reads a few kilobytes once.
#include "core/kernels/accumulate_metrics.h"

#include "cuda/device/block.cuh"

namespace residua::cuda {
namespace {

__global__ void accumulate_metrics_kernel(AccumulateMetrics args) {
  double loss = 0;
  int images = 0;
  for (int64_t row = threadIdx.x; row < args.rows; row += blockDim.x) {
    loss += static_cast<double>(args.row_loss[row]);
    images += args.labels[row] >= 0 ? 1 : 0;
  }
  loss = block_sum(loss);
  images = block_sum(images);
  if (threadIdx.x == 0 && (args.state == nullptr || args.state->found_inf == 0)) {
    args.sums->loss += loss;
    args.sums->images += images;
    args.sums->top1_errors += *args.top1_errors;
    args.sums->top5_errors += *args.top5_errors;
  }
}

}  // namespace

void run(const AccumulateMetrics& args, Stream& stream) {
  launch(stream, {1, block_threads(256)}, accumulate_metrics_kernel, args);
}

}  // namespace residua::cuda
