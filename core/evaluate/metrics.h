#pragma once

#include <cstdint>

#include "core/kernels/accumulate_metrics.h"
#include "core/ops/softmax_cross_entropy.h"
#include "core/tensor/tensor.h"

namespace residua {

/// Means over images; NaN if there were none.
struct Metrics {
  int64_t images = 0;
  double loss = 0;
  double top1_error = 0;  // %
  double top5_error = 0;  // %
};

/// Divides totals by the number of images.
Metrics means(const MetricsTotals& totals);

/// Sums the results of steps on the device, so that no step waits for them.
class MetricsAccumulator {
 public:
  explicit MetricsAccumulator(Device device);

  /// Adds a batch's results; `labels` are those passed to softmax_cross_entropy. Adds nothing if `state` says that the step was
  /// skipped.
  void add(const SoftmaxCrossEntropy& result, const Tensor& labels, const StepState* state = nullptr);
  /// The totals since the last `reset`. Waits for the device.
  MetricsTotals totals() const;
  Metrics read() const { return means(totals()); }
  /// Starts again from these totals.
  void reset(const MetricsTotals& totals = {});

 private:
  Tensor sums_;  // a MetricsTotals
};

}  // namespace residua
