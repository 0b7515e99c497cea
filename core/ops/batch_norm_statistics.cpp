#include "core/ops/batch_norm_statistics.h"

#include "core/kernels/batch_norm.h"
#include "core/kernels/batch_norm_rstd.h"
#include "core/kernels/run.h"

namespace residua {

NormStatistics norm_statistics(const ArgumentCheck& check, const Tensor& x, const BatchNormTensors& p, Mode mode) {
  check.floating("x", x);
  if (x.shape().rank() < 2) {
    fail("{}: x is {}, wanted at least 2 dimensions with the channels last", check.op(), describe(x));
  }
  const int64_t channels = x.dim(-1);
  const int64_t rows = x.size() / channels;
  const Device device = x.device();
  check.exactly("gamma", p.gamma, {channels}, DType::f32, device);
  check.exactly("beta", p.beta, {channels}, DType::f32, device);

  if (mode == Mode::evaluate) {
    check.exactly("running_mean", p.running_mean, {channels}, DType::f32, device);
    check.exactly("running_var", p.running_var, {channels}, DType::f32, device);
    const Tensor rstd = empty({channels}, DType::f32, device);
    run(device,
        BatchNormRstd{
            .channels = channels, .epsilon = p.epsilon, .variance = p.running_var.data<float>(), .rstd = rstd.data<float>()});
    return {.rows = rows, .channels = channels, .mean = p.running_mean.detached(), .rstd = rstd};
  }
  if (p.batch_rstd.defined()) {
    check.exactly("batch_mean", p.batch_mean, {channels}, DType::f32, device);
    check.exactly("batch_rstd", p.batch_rstd, {channels}, DType::f32, device);
    return {.rows = rows, .channels = channels, .mean = p.batch_mean.detached(), .rstd = p.batch_rstd.detached()};
  }
  const Tensor rstd = empty({channels}, DType::f32, device);
  const Tensor mean = p.batch_mean.defined() ? p.batch_mean.detached() : empty({channels}, DType::f32, device);
  const Tensor variance = p.batch_var.defined() ? p.batch_var : empty({channels}, DType::f32, device);
  check.exactly("batch_mean", mean, {channels}, DType::f32, device);
  check.exactly("batch_var", variance, {channels}, DType::f32, device);
  run(device, BatchNormStatistics{.dtype = x.dtype(),
                                  .rows = rows,
                                  .channels = channels,
                                  .x = x.data(),
                                  .epsilon = p.epsilon,
                                  .mean = mean.data<float>(),
                                  .variance = variance.data<float>(),
                                  .rstd = rstd.data<float>()});
  return {.rows = rows, .channels = channels, .mean = mean, .rstd = rstd};
}

}  // namespace residua
