#pragma once

#include <cstdint>

#include "core/nn/module.h"
#include "core/nn/parameter.h"
#include "core/ops/batch_norm.h"
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
  /// For a batch normalisation in training that follows; see conv2d_with_statistics.
  Tensor forward_with_statistics(const Tensor& x, const BatchNorm& norm);
  Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const override;

  Parameter weight;

 private:
  Conv2dSpec spec_;
};

/// Batch normalisation over all but the last dimension, epsilon 1e-5; `weight` (gamma), `bias` (beta) and statistics.
/// The running ones change only when the optimizer commits a step. See core/ops/batch_norm.h.
class BatchNorm2d : public Module {
 public:
  explicit BatchNorm2d(int64_t channels);
  /// In training this and the next fail on an input of a single row, which has no variance.
  Tensor forward(const Tensor& x, Mode mode) override;
  /// The three forms of core/ops/batch_norm.h over `convolution` of x, which takes the statistics on its way.
  Tensor forward(Conv2d& convolution, const Tensor& x, Mode mode);
  Tensor forward_relu(Conv2d& convolution, const Tensor& x, Mode mode);
  Tensor forward_add_relu(Conv2d& convolution, const Tensor& x, const Tensor& residual, Mode mode);
  /// core/ops/batch_norm_relu_max_pool.h, likewise.
  Tensor forward_relu_max_pool(Conv2d& convolution, const Tensor& x, PoolOptions options, Mode mode);
  Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const override;

  Parameter weight;
  Parameter bias;
  RunningStatistics statistics;

 private:
  BatchNorm tensors() const;
  Tensor convolve(Conv2d& convolution, const Tensor& x, BatchNorm& p, Mode mode);
  void check_rows(const Tensor& x, Mode mode);

  Tensor unbias_;            // the memory that `unbias_rows_` is true of
  int64_t unbias_rows_ = 0;  // rows that the unbias factor in memory was made for
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
