#pragma once

#include <cstdint>

#include "core/device/device_api.h"
#include "core/kernels/step_state.h"

namespace residua {

/// Metric totals over steps, on the device.
struct MetricsTotals {
  double loss = 0;  // summed over images
  int64_t images = 0;
  int64_t top1_errors = 0;
  int64_t top5_errors = 0;
};

/// Adds a batch's losses, errors and number of labeled rows (label >= 0) to `sums`. Does nothing if `state` says that the step
/// was skipped, because its loss is meaningless.
struct AccumulateMetrics {
  int64_t rows;
  const float* row_loss;       // [rows], 0 for rows without a label
  const int32_t* labels;       // [rows]
  const int32_t* top1_errors;  // [1]
  const int32_t* top5_errors;  // [1]
  const StepState* state;      // or null
  MetricsTotals* sums;         // added to
};

namespace cpu {
void run(const AccumulateMetrics& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const AccumulateMetrics& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
