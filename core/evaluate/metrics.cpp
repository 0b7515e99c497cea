#include "core/evaluate/metrics.h"

#include <limits>

#include "core/kernels/run.h"

namespace residua {

Metrics means(const MetricsTotals& sums) {
  const double n = sums.images > 0 ? static_cast<double>(sums.images) : std::numeric_limits<double>::quiet_NaN();
  return {.images = sums.images,
          .loss = sums.loss / n,
          .top1_error = 100.0 * static_cast<double>(sums.top1_errors) / n,
          .top5_error = 100.0 * static_cast<double>(sums.top5_errors) / n};
}

MetricsAccumulator::MetricsAccumulator(Device device)
    : sums_(zeros({sizeof(MetricsTotals) / sizeof(float)}, DType::f32, device)) {}

void MetricsAccumulator::add(const SoftmaxCrossEntropy& result, const Tensor& labels, const StepState* state) {
  run(sums_.device(), AccumulateMetrics{.rows = labels.size(),
                                        .row_loss = result.row_loss.data<float>(),
                                        .labels = labels.data<int32_t>(),
                                        .top1_errors = result.top1_errors.data<int32_t>(),
                                        .top5_errors = result.top5_errors.data<int32_t>(),
                                        .state = state,
                                        .sums = static_cast<MetricsTotals*>(sums_.data())});
}

MetricsTotals MetricsAccumulator::totals() const {
  MetricsTotals sums;
  device_api::copy(Device{}, &sums, sums_.device(), sums_.data(), sizeof(MetricsTotals));
  return sums;
}

void MetricsAccumulator::reset(const MetricsTotals& totals) {
  device_api::copy(sums_.device(), sums_.data(), Device{}, &totals, sizeof(MetricsTotals));
}

}  // namespace residua
