#pragma once

#include <cstdint>

#include "core/nn/module.h"
#include "core/nn/parameter.h"
#include "core/ops/batch_norm.h"
#include "core/ops/conv2d.h"

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

/// Batch normalization over all but the last dimension, epsilon 1e-5; `weight` (gamma), `bias` (beta) and statistics.
/// The running ones change only when the optimizer commits a step. See core/ops/batch_norm.h. A network that has it behind
/// every convolution uses core/nn/conv_bn.h instead of forward().
class BatchNorm2d : public Module {
 public:
  explicit BatchNorm2d(int64_t channels);
  /// Fails in training on a single row, which has no variance.
  Tensor forward(const Tensor& x, Mode mode) override;
  Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const override;

  /// The layer's tensors as the ops take them.
  BatchNormTensors tensors() const;
  /// In training, sets the factor that makes the variance of the batch x unbiased: rows / (rows - 1). It is written only when
  /// the number of rows changes. Fails on a single row.
  void prepare_bessel_correction(const Tensor& x, Mode mode);

  Parameter weight;
  Parameter bias;
  RunningStatistics statistics;

 private:
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
