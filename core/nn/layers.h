#pragma once

#include <cstdint>

#include "core/nn/module.h"
#include "core/nn/parameter.h"
#include "core/ops/batch_norm.h"
#include "core/ops/conv2d.h"
#include "core/ops/pooling.h"

namespace residua {

struct Conv2dSpec {
  int64_t in_channels;
  int64_t out_channels;
  int64_t kernel;  // height and width
  int64_t stride = 1;
  int64_t padding = 0;
  int64_t stored_in_channels = 0;  // channels of the input as stored, those past `in_channels` being zero; 0: in_channels
};

/// Convolution without bias; `weight`. See core/ops/conv2d.h.
class Conv2d : public Module {
 public:
  /// Fails with UsageError on sizes below 1.
  explicit Conv2d(const Conv2dSpec& spec);
  Tensor forward(const Tensor& x, Mode mode = Mode::train) override;
  Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const override;
  Conv2dOptions options() const { return {.stride = spec_.stride, .padding = spec_.padding}; }

  Parameter weight;

 private:
  Conv2dSpec spec_;
};

/// What a batch normalization is to read: a convolution's output and, in training, its statistics, taken on the way. They are
/// in memory of the layer's own, until its next `after`.
struct PendingNorm {
  Tensor x;
  BatchNormTensors norm;
};

/// Batch normalization over all but the last dimension, epsilon 1e-5; `weight` (gamma), `bias` (beta) and statistics.
/// The running ones change only when the optimizer commits a step. See core/ops/batch_norm.h.
///
/// A network that has it behind every convolution calls `after` or `after_relu` and hands on the result, which lets each
/// convolution do what it can of the normalizations beside it.
class BatchNorm2d : public Module {
 public:
  explicit BatchNorm2d(int64_t channels);
  /// Fails in training on a single row, which has no variance, as the next two do if their convolution makes but one.
  Tensor forward(const Tensor& x, Mode mode) override;

  /// `convolution` of x, for this layer to normalize.
  PendingNorm after(Conv2d& convolution, const Tensor& x, Mode mode);
  /// `convolution` of the ReLU of x normalized, likewise: core/ops/batch_norm_relu_conv2d.h.
  PendingNorm after_relu(Conv2d& convolution, const PendingNorm& x, Mode mode);

  /// The forms of core/ops/batch_norm.h and core/ops/batch_norm_relu_max_pool.h.
  Tensor forward(const PendingNorm& x, Mode mode) const;
  Tensor forward_relu(const PendingNorm& x, Mode mode) const;
  Tensor forward_add_relu(const PendingNorm& x, const Tensor& residual, Mode mode) const;
  Tensor forward_relu_max_pool(const PendingNorm& x, PoolOptions options, Mode mode) const;
  Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const override;

  Parameter weight;
  Parameter bias;
  RunningStatistics statistics;

 private:
  /// Fails if x was made for another layer.
  const BatchNormTensors& checked(const PendingNorm& x) const;
  BatchNormTensors tensors() const;
  /// The same with memory for the statistics of an x, in training.
  BatchNormTensors tensors(Device device, Mode mode) const;
  void check_rows(const Tensor& x, Mode mode);

  Tensor bessel_correction_;  // the memory that `bessel_rows_` is true of
  int64_t bessel_rows_ = 0;   // rows that the bessel_correction factor in memory was made for
};

/// y = x w^T + b, y in f32; `weight` [out, in] and `bias`. See core/ops/linear.h.
class Linear : public Module {
 public:
  /// Fails with UsageError on sizes below 1.
  Linear(int64_t in_features, int64_t out_features);
  Tensor forward(const Tensor& x, Mode mode = Mode::train) override;
  Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const override;

  Parameter weight;
  Parameter bias;
};

}  // namespace residua
