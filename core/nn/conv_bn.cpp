#include "core/nn/conv_bn.h"

#include "core/device/profile.h"
#include "core/ops/batch_norm_relu_conv2d.h"
#include "core/ops/batch_norm_relu_max_pool.h"

namespace residua {
namespace {

/// The tensors of `norm`. If the convolution of x is to compute the statistics of its output, with memory for batch_rstd. That
/// is so in training, unless there are several groups or totals: then a kernel of its own computes them.
BatchNormTensors next_tensors(const BatchNorm2d& norm, const Tensor& x, Mode mode) {
  BatchNormTensors p = norm.tensors();
  if (mode == Mode::train && p.group_of(x.dim(0)) == x.dim(0) && !p.totals.defined()) {
    p.batch_rstd = empty({norm.statistics.channels}, DType::f32, x.device());
  }
  return p;
}

const BatchNormTensors* next(const BatchNormTensors& p) { return p.batch_rstd.defined() ? &p : nullptr; }

PendingNorm pending(const Tensor& y, const BatchNormTensors& p, BatchNorm2d& norm, Mode mode) {
  norm.prepare_bessel_correction(y, mode);
  return {.x = y, .norm = p, .mode = mode, .layer = &norm};
}

}  // namespace

PendingNorm conv_bn(Conv2d& conv, BatchNorm2d& norm, const Tensor& x, Mode wanted) {
  const profile::Layer layer(conv.weight.name);
  const Mode mode = norm.own_mode(wanted);
  const BatchNormTensors p = next_tensors(norm, x, mode);
  const Tensor y = conv2d(x, conv.weight.value, conv.options(), next(p));
  return pending(y, p, norm, mode);
}

PendingNorm conv_bn(Conv2d& conv, BatchNorm2d& norm, const PendingNorm& x, Mode wanted) {
  const profile::Layer layer(conv.weight.name);
  const Mode mode = norm.own_mode(wanted);
  const BatchNormTensors p = next_tensors(norm, x.x, mode);
  const Tensor y = batch_norm_relu_conv2d(x.x, x.norm, conv.weight.value, conv.options(), x.mode, next(p));
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
