#pragma once

#include "core/tensor/tensor.h"

namespace residua {

struct SoftmaxCrossEntropy {
  Tensor loss;         // f32 scalar: mean over the labeled rows; the only output with a gradient
  Tensor top1_errors;  // i32 [1]: rows whose label is not the top class
  Tensor top5_errors;  // i32 [1]: rows whose label is not among the top five classes
  Tensor row_loss;     // f32 [N]
};

/// Cross entropy of softmax(logits [N, classes]) with labels i32 [N]. Each label is below `classes`; rows with a negative label
/// are ignored.
/// Per row: (1 - s) * -log p[label] + s / classes * sum over c of -log p[c], with s = label_smoothing in [0, 1].
/// Label smoothing: Szegedy et al. 2016, section 7. The labels are on the device, so their range is not checked here.
SoftmaxCrossEntropy softmax_cross_entropy(const Tensor& logits, const Tensor& labels, float label_smoothing = 0.0f);

}  // namespace residua
