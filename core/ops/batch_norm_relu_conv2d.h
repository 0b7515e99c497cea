#pragma once

#include "core/ops/batch_norm.h"
#include "core/ops/conv2d.h"
#include "core/ops/mode.h"
#include "core/tensor/tensor.h"

namespace residua {

/// Where the activation of a convolution's input is computed. `before`: in a pass before the convolution, into memory.
/// `inside`: inside each pass of the convolution, from x, so it is never stored. `fastest`: whichever the device measures as
/// faster over the passes of training; `before` in evaluation, which has only one pass.
enum class ActivationPlace : uint8_t { fastest, before, inside };

/// y = conv2d(batch_norm_relu(x, p, mode), w, options, next). Its backward computes the sums of batch normalization together
/// with the gradient of the activation. If p.group_images divides the batch into groups, these are two separate ops.
///
/// Memory traffic, for activations of A bytes: the two separate ops move 8 A besides the convolutions. A device whose
/// convolutions can compute the sums moves 2 A less. A device that can also apply the activation inside moves another 2 A less,
/// and saves A bytes less for backward.
Tensor batch_norm_relu_conv2d(const Tensor& x, const BatchNormTensors& p, const Tensor& w, Conv2dOptions options, Mode mode,
                              const BatchNormTensors* next = nullptr, ActivationPlace place = ActivationPlace::fastest);

}  // namespace residua
