// Means over groups, and totals over batches. One thread per channel, grid-stride; reads 8 bytes per group and channel.
#include "core/kernels/batch_norm_group_statistics.h"

#include "cuda/device/launch.cuh"

namespace residua::cuda {
namespace {

__global__ void group_mean_kernel(BatchNormGroupMean args, int64_t groups) {
  for (int64_t c = global_thread(); c < args.channels; c += grid_threads()) {
    double mean = 0;
    double variance = 0;
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t left = args.rows - g * args.group_rows;
      const auto n = static_cast<double>(left < args.group_rows ? left : args.group_rows);
      mean += static_cast<double>(args.group_mean[g * args.channels + c]);
      variance += static_cast<double>(args.group_variance[g * args.channels + c]) * (n / (n - 1));
    }
    args.mean[c] = static_cast<float>(mean / static_cast<double>(groups));
    args.variance[c] = static_cast<float>(variance / static_cast<double>(groups));
  }
}

__global__ void add_totals_kernel(BatchNormAddTotals args) {
  for (int64_t c = global_thread(); c < args.channels; c += grid_threads()) {
    BatchNormTotal total = args.totals[c];
    int64_t i = c;
    for (int64_t left = args.rows; left > 0; left -= args.group_rows, i += args.channels) {
      const auto n = static_cast<double>(left < args.group_rows ? left : args.group_rows);
      const double difference = static_cast<double>(args.group_mean[i]) - total.mean;
      const double share = n / (total.count + n);
      total.mean += difference * share;
      total.squares += n * static_cast<double>(args.group_variance[i]) + difference * difference * total.count * share;
      total.count += n;
    }
    args.totals[c] = total;
  }
}

}  // namespace

void run(const BatchNormGroupMean& args, Stream& stream) {
  const int64_t groups = (args.rows + args.group_rows - 1) / args.group_rows;
  launch(stream, grid_for(stream, args.channels), group_mean_kernel, args, groups);
}

void run(const BatchNormAddTotals& args, Stream& stream) {
  launch(stream, grid_for(stream, args.channels), add_totals_kernel, args);
}

}  // namespace residua::cuda
