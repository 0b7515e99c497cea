#pragma once

#include <cstdint>

#include "core/device/device_api.h"

// What becomes of the statistics that BatchNormStatistics computes for groups.
namespace residua {

/// The statistics that a batch of several groups passes to BatchNormCommit: the mean over groups of their means, and of their
/// variances with the Bessel correction n / (n - 1). Groups count alike, whatever their size.
struct BatchNormGroupMean {
  int64_t rows, group_rows, channels;  // each group has at least 2 rows
  const float* group_mean;             // [groups, channels]
  const float* group_variance;         // [groups, channels], biased
  float* mean;                         // [channels], overwritten
  float* variance;                     // [channels], overwritten
};

/// The statistics of a channel over many batches. Its variance is squares / count.
struct BatchNormTotal {
  double count;    // values so far
  double mean;     // of these values
  double squares;  // the sum of their squared differences from the mean
};

/// Adds groups to the totals (Chan, Golub and LeVeque 1979). Sums of squares would cancel where the mean is large.
struct BatchNormAddTotals {
  int64_t rows, group_rows, channels;
  const float* group_mean;      // [groups, channels]
  const float* group_variance;  // [groups, channels], biased
  BatchNormTotal* totals;       // [channels], added to
};

namespace cpu {
void run(const BatchNormGroupMean& args, Stream& stream);
void run(const BatchNormAddTotals& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const BatchNormGroupMean& args, Stream& stream);
void run(const BatchNormAddTotals& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
