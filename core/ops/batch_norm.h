#pragma once

#include "core/ops/mode.h"
#include "core/tensor/tensor.h"

namespace residua {

class Communicator;

/// The tensors of one batch normalization layer, all f32 [C].
struct BatchNormTensors {
  Tensor gamma;
  Tensor beta;
  Tensor running_mean;  // read in Mode::evaluate, never written
  Tensor running_var;
  /// The statistics of the batch, with biased variance. Mode::train writes them (if undefined, to memory of its own) and saves
  /// them for backward, which must therefore run before the next forward of this layer.
  Tensor batch_mean;
  Tensor batch_var;
  /// 1 / sqrt(batch_var + epsilon). If defined, all three already hold the statistics of x: conv2d wrote them for its `next`.
  /// With several ranks, they then hold those of this rank's x, and Mode::train replaces them by those of all.
  Tensor batch_rstd = {};
  float epsilon = 1e-5f;
  /// Images that Mode::train normalizes together; 0: all. The last group may have fewer. The statistics of several groups are
  /// in memory of their own; then batch_mean and batch_var get their BatchNormGroupMean.
  int64_t group_images = 0;
  /// If defined, a BatchNormTotal for each channel. Mode::train adds the batch to it, of several ranks this rank's part.
  Tensor totals = {};
  /// Ranks that Mode::train normalizes together, with x of each rank as its part of one batch; null: this process alone. They
  /// must outlive the backward pass.
  Communicator* ranks = nullptr;
  /// If defined, several ranks set it to n / (n - 1), with n the rows of all ranks.
  Tensor bessel_correction = {};

  /// Images in each group but the last.
  int64_t group_of(int64_t images) const { return group_images > 0 && group_images < images ? group_images : images; }
};

/// y = gamma * (x - mean) / sqrt(variance + epsilon) + beta per channel of x [N, ..., C]. Mode::train uses the mean and biased
/// variance over the other dimensions; Mode::evaluate uses the running statistics. Statistics and sums are fp32. Ioffe and
/// Szegedy 2015, algorithms 1 and 2. If p.group_images divides the images into groups, the result is that of separate batches.
///
/// With p.ranks, forward combines the means and variances of the ranks (BatchNormCombine), and backward adds up the two sums of
///   dx = gamma * rstd * (g - sum_g / n - xhat * sum_g_xhat / n)
/// over the ranks; n is the rows of all ranks. So y and dx are those of one batch. The gradients of gamma and beta are this
/// rank's part: their sum over the ranks is that of one batch. Ranks may have different numbers of images, at least one.
Tensor batch_norm(const Tensor& x, const BatchNormTensors& p, Mode mode);

/// relu(batch_norm(x)) in one pass.
Tensor batch_norm_relu(const Tensor& x, const BatchNormTensors& p, Mode mode);

/// relu(batch_norm(x) + residual) in one pass; residual has the shape and type of x.
Tensor batch_norm_add_relu(const Tensor& x, const Tensor& residual, const BatchNormTensors& p, Mode mode);

}  // namespace residua
