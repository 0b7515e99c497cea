#pragma once

#include <cstdint>

#include "core/device/device_api.h"

// Batch normalization of one batch whose rows are divided over the ranks of a run.
namespace residua {

/// The statistics of the rows of all ranks, from the mean m, the biased variance v and the number of rows k of each rank. Adds
/// one rank after the other to n rows with a mean and a sum of squared differences from it (Chan, Golub and LeVeque 1979):
///   d = m - mean,  squares += k * v + d^2 * n * k / (n + k),  mean += d * k / (n + k),  n += k.
/// Sums of squares would cancel where the mean is large. Sums are fp64, in the order of the ranks: the same parts give the same
/// bits.
struct BatchNormCombine {
  int64_t ranks, channels;
  int64_t rank;        // whose share is wanted
  const float* parts;  // [ranks, 2 * channels + 1]: means, variances, then the number of rows, at least 1, rounded to f32
  float epsilon;
  float* mean;               // [channels], overwritten
  float* variance;           // [channels], overwritten: squares / n
  float* rstd;               // [channels], overwritten: 1 / sqrt(squares / n + epsilon)
  float* bessel_correction;  // [channels], overwritten: n / (n - 1); or null
  float* share;              // [1], overwritten: the rank's part of the n rows
};

/// Turns sums over the rows of all ranks into those that BatchNormBackwardApply wants. It divides by the rows of this rank
/// alone, so sums * share leads to the means over all rows.
struct BatchNormShareSums {
  int64_t size;
  const float* share;  // [1]
  float* sums;         // [size], multiplied
};

namespace cpu {
void run(const BatchNormCombine& args, Stream& stream);
void run(const BatchNormShareSums& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const BatchNormCombine& args, Stream& stream);
void run(const BatchNormShareSums& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
