#pragma once

#include <cstdint>

#include "core/base/dtype.h"
#include "core/device/device_api.h"

namespace residua {

/// For each row, with p = softmax(logits) and s = label_smoothing:
/// loss = (1 - s) * -log p[label] + s / classes * sum over c of -log p[c].
/// A row with a negative label is ignored: its loss and gradient are 0. A row is correct in the top k if fewer than k classes
/// have a larger logit than the label (or an equal logit and a lower index). A row with a NaN logit counts as wrong.
struct SoftmaxCrossEntropyForward {
  DType dtype;  // of logits
  int64_t rows, classes;
  const void* logits;     // [rows, classes]
  const int32_t* labels;  // [rows], below `classes`
  float label_smoothing;
  float* loss;           // [rows], overwritten
  float* log_sum_exp;    // [rows], overwritten: log of the sum of exp(logits), saved for backward
  int32_t* top1_errors;  // [1], overwritten
  int32_t* top5_errors;  // [1], overwritten
};

/// dlogits = dloss * (p - target) / labeled rows: the gradient of the mean loss over the rows with label >= 0.
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
