#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"

namespace residua {

/// For each row: loss = (1 - s) * -log p[label] + s / classes * sum over c of -log p[c], p = softmax(logits), s =
/// label_smoothing. A label below 0 is ignored: its loss and its gradient are 0. A row counts as right in the top k when fewer
/// than k classes have a logit above the label's (or equal to it and a lower index); a NaN among the logits counts as wrong.
struct SoftmaxCrossEntropyForward {
  DType dtype;  // of logits
  int64_t rows, classes;
  const void* logits;     // [rows, classes]
  const int32_t* labels;  // [rows], below `classes`
  float label_smoothing;
  float* loss;           // [rows], overwritten
  float* log_sum_exp;    // [rows], overwritten: log of the sum of exp(logits)
  int32_t* top1_errors;  // [1], overwritten
  int32_t* top5_errors;  // [1], overwritten
};

/// dlogits = dloss * (p - target) / counted rows: the gradient of the mean loss over the rows with a label >= 0.
struct SoftmaxCrossEntropyBackward {
  DType dtype;
  int64_t rows, classes;
  const void* logits;
  const int32_t* labels;
  float label_smoothing;
  const float* log_sum_exp;
  const float* dloss;  // [1]
  void* dlogits;       // overwritten
};

namespace cpu {
void run(const SoftmaxCrossEntropyForward& args, Stream& stream);
void run(const SoftmaxCrossEntropyBackward& args, Stream& stream);
}  // namespace cpu
namespace cuda {
void run(const SoftmaxCrossEntropyForward& args, Stream& stream);
void run(const SoftmaxCrossEntropyBackward& args, Stream& stream);
}  // namespace cuda

}  // namespace residua
