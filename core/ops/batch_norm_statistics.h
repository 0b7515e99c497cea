#pragma once

#include "core/autograd/tape.h"
#include "core/ops/batch_norm.h"
#include "core/ops/check.h"

namespace residua {

class Communicator;

/// x viewed as [rows, channels], and the statistics to normalize it with.
struct NormStatistics {
  int64_t rows, group_rows, channels;
  Tensor mean, rstd;              // f32 [groups * channels]
  Communicator* ranks = nullptr;  // several ranks, whose rows these are the statistics of; null: this process alone
  Tensor share = {};              // f32 [1], with ranks: this rank's part of the rows of all

  int64_t groups() const { return mean.size() / channels; }
};

/// The first part of all forms of batch normalization: checks x and the parameters, then computes the batch statistics
/// (Mode::train) or takes the running ones (Mode::evaluate).
NormStatistics norm_statistics(const ArgumentCheck& check, const Tensor& x, const BatchNormTensors& p, Mode mode);

/// The sums of a backward pass, from which the gradients of gamma and beta follow.
class NormSums {
 public:
  /// `gamma` and `beta` are the numbers of these inputs of the node.
  NormSums(const NormStatistics& statistics, Gradients& gradients, int gamma, int beta);

  float* g() const { return g_.data<float>(); }
  float* g_xhat() const { return g_xhat_.data<float>(); }
  /// Call this once both are computed: makes the gradients of gamma and beta from them.
  void give_gradients() const;
  /// Call this before dx is computed. Of several ranks, replaces the sums by this rank's share of those over all ranks.
  void add_up_ranks() const;

 private:
  int64_t groups_;
  Communicator* ranks_;
  Tensor share_;
  Tensor dgamma_, dbeta_;  // [channels]
  Tensor both_;            // the sums of several groups or ranks, [2, groups * channels]
  Tensor g_, g_xhat_;      // its halves; if it is undefined, the gradients themselves
};

}  // namespace residua
