#include "core/nn/conv_bn.h"

#include "core/device/profile.h"
#include "core/ops/batch_norm_relu_conv2d.h"
#include "core/ops/batch_norm_relu_max_pool.h"

namespace residua {
namespace {

/// The tensors of `norm`. In training, with memory for batch_rstd, which the convolution writes.
BatchNormTensors next_tensors(const BatchNorm2d& norm, Device device, Mode mode) {
  BatchNormTensors p = norm.tensors();
  if (mode == Mode::train) {
    p.batch_rstd = empty({norm.statistics.channels}, DType::f32, device);
  }
  return p;
}

PendingNorm pending(const Tensor& y, const BatchNormTensors& p, BatchNorm2d& norm, Mode mode) {
  norm.prepare_bessel_correction(y, mode);
  return {.x = y, .norm = p, .mode = mode, .layer = &norm};
}

}  // namespace

PendingNorm conv_bn(Conv2d& conv, BatchNorm2d& norm, const Tensor& x, Mode wanted) {
  const profile::Layer layer(conv.weight.name);
  const Mode mode = norm.own_mode(wanted);
  const BatchNormTensors p = next_tensors(norm, x.device(), mode);
  const Tensor y = conv2d(x, conv.weight.value, conv.options(), mode == Mode::train ? &p : nullptr);
  return pending(y, p, norm, mode);
}

PendingNorm conv_bn(Conv2d& conv, BatchNorm2d& norm, const PendingNorm& x, Mode wanted) {
  const profile::Layer layer(conv.weight.name);
  const Mode mode = norm.own_mode(wanted);
  const BatchNormTensors p = next_tensors(norm, x.x.device(), mode);
  const Tensor y =
      batch_norm_relu_conv2d(x.x, x.norm, conv.weight.value, conv.options(), x.mode, mode == Mode::train ? &p : nullptr);
  return pending(y, p, norm, mode);
}

Tensor norm(const PendingNorm& x) {
  const profile::Layer layer(x.layer->statistics.name);
  return batch_norm(x.x, x.norm, x.mode);
}

Tensor norm_relu(const PendingNorm& x) {
  const profile::Layer layer(x.layer->statistics.name);
  return batch_norm_relu(x.x, x.norm, x.mode);
}

Tensor norm_add_relu(const PendingNorm& x, const Tensor& residual) {
  const profile::Layer layer(x.layer->statistics.name);
  return batch_norm_add_relu(x.x, residual, x.norm, x.mode);
}

Tensor norm_relu_max_pool(const PendingNorm& x, PoolOptions options) {
  const profile::Layer layer(x.layer->statistics.name);
  return batch_norm_relu_max_pool(x.x, x.norm, options, x.mode);
}

}  // namespace residua
