#pragma once

#include "core/ops/batch_norm.h"
#include "core/ops/conv2d.h"
#include "core/ops/mode.h"
#include "core/tensor/tensor.h"

namespace residua {

/// Where the activation of a convolution's input is computed: before the convolution's passes, into memory that they read, or
/// inside each of them, from x, so that it is never stored. `fastest` is what the device finds faster over the passes of
/// training; in evaluation, which has but one, it is `before`.
enum class ActivationPlace : uint8_t { fastest, before, inside };

/// y = conv2d(batch_norm_relu(x, p, mode), w, options, next), whose backward takes batch normalization's sums while it computes
/// the gradient of the activation.
///
/// With activations of A bytes, a device whose convolutions can take the sums moves 2 A less than the two operations, of 8 A
/// beside the convolutions; one that can also activate inside moves 2 A less again, and keeps A less from the forward pass to
/// the backward.
Tensor batch_norm_relu_conv2d(const Tensor& x, const BatchNormTensors& p, const Tensor& w, Conv2dOptions options, Mode mode,
                              const BatchNormTensors* next = nullptr, ActivationPlace place = ActivationPlace::fastest);

}  // namespace residua
