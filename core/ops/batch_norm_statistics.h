#pragma once

#include "core/autograd/tape.h"
#include "core/ops/batch_norm.h"
#include "core/ops/check.h"

namespace residua {

/// x viewed as [rows, channels], and the statistics to normalize it with.
struct NormStatistics {
  int64_t rows, group_rows, channels;
  Tensor mean, rstd;  // f32 [groups * channels]

  int64_t groups() const { return mean.size() / channels; }
};

/// The first part of all forms of batch normalization: checks x and the parameters, then computes the batch statistics
/// (Mode::train) or takes the running ones (Mode::evaluate).
NormStatistics norm_statistics(const ArgumentCheck& check, const Tensor& x, const BatchNormTensors& p, Mode mode);

/// The sums of a backward pass, from which the gradients of gamma and beta follow.
class NormSums {
 public:
  /// `gamma` and `beta` are the numbers of these inputs of the node.
  NormSums(int64_t groups, int64_t channels, Device device, Gradients& gradients, int gamma, int beta);

  float* g() const { return g_.data<float>(); }
  float* g_xhat() const { return g_xhat_.data<float>(); }
  /// Call this once both are computed.
  void add_up_groups() const;

 private:
  int64_t groups_;
  Tensor dgamma_, dbeta_;  // [channels]
  Tensor g_, g_xhat_;      // [groups * channels]; of one group, the gradients themselves
};

}  // namespace residua
