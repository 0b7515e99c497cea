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
  int64_t stored_in_channels = 0;  // channels of the input in memory, zero past `in_channels`; 0 means in_channels
};

/// Convolution without bias. Parameter: `weight`. See core/ops/conv2d.h.
class Conv2d : public Module {
 public:
  /// Throws UsageError if a size is below 1.
  explicit Conv2d(const Conv2dSpec& spec);
  Tensor forward(const Tensor& x, Mode mode = Mode::train) override;
  Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const override;
  Conv2dOptions options() const { return {.stride = spec_.stride, .padding = spec_.padding}; }

  Parameter weight;

 private:
  Conv2dSpec spec_;
};

/// Batch normalization over all dimensions but the last, with epsilon 1e-5. Parameters: `weight` (gamma) and `bias` (beta),
/// plus running statistics, which change only when the optimizer commits a step. See core/ops/batch_norm.h. A network with
/// batch normalization after every convolution uses core/nn/conv_bn.h instead of forward().
class BatchNorm2d : public Module {
 public:
  explicit BatchNorm2d(int64_t channels);
  /// Throws Error in training on a single row of a single rank, which has no variance.
  Tensor forward(const Tensor& x, Mode mode) override;
  Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const override;

  /// The layer's tensors in the form that the ops take.
  BatchNormTensors tensors() const;
  /// The mode that the layer runs in: Mode::evaluate if its statistics are frozen, else `mode`.
  Mode own_mode(Mode mode) const { return statistics.frozen ? Mode::evaluate : mode; }
  /// In training, stores the Bessel correction rows / (rows - 1), which makes the variance of batch x unbiased; 1 if x has
  /// several groups. Writes it only if it has changed. Throws Error on a single row, and on a group with a single row. With
  /// several ranks it does nothing: the op stores the correction, and together they have several rows.
  void prepare_bessel_correction(const Tensor& x, Mode mode);

  Parameter weight;
  Parameter bias;
  RunningStatistics statistics;

 private:
  Tensor bessel_correction_;  // the memory that holds `bessel_factor_`
  float bessel_factor_ = 0;
};

/// y = x w^T + b, with y in f32. Parameters: `weight` [out, in] and `bias`. See core/ops/linear.h.
class Linear : public Module {
 public:
  /// Throws UsageError if a size is below 1.
  Linear(int64_t in_features, int64_t out_features);
  Tensor forward(const Tensor& x, Mode mode = Mode::train) override;
  Shape summarize(const std::string& name, const Shape& input, std::vector<LayerSummary>& rows) const override;

  Parameter weight;
  Parameter bias;
};

}  // namespace residua
