#include "core/ops/batch_norm.h"

#include "core/autograd/tape.h"
#include "core/kernels/batch_norm.h"
#include "core/kernels/batch_norm_rstd.h"
#include "core/kernels/run.h"
#include "core/ops/check.h"

namespace residua {
namespace {

/// What the backward reads.
struct Saved {
  Tensor x, mask, gamma, mean, rstd;
  int64_t rows, channels;
  Mode mode;
};

// Inputs of the node, in order.
constexpr int kX = 0, kGamma = 1, kBeta = 2, kResidual = 3;

void backward_rule(const Saved& saved, bool has_residual, const Tensor& dy, Gradients& gradients) {
  const Device device = dy.device();
  const DType dtype = saved.x.dtype();
  const bool wants_residual = has_residual && gradients.wants(kResidual);
  const uint8_t* mask = saved.mask.defined() ? saved.mask.data<uint8_t>() : nullptr;

  const Tensor dgamma = gradients.wants(kGamma) ? gradients.output(kGamma) : empty({saved.channels}, DType::f32, device);
  const Tensor dbeta = gradients.wants(kBeta) ? gradients.output(kBeta) : empty({saved.channels}, DType::f32, device);
  run(device,
      BatchNormBackwardReduce{dtype, saved.rows, saved.channels, saved.x.data(), dy.data(), mask, saved.mean.data<float>(),
                              saved.rstd.data<float>(), dbeta.data<float>(), dgamma.data<float>()});
  if (!gradients.wants(kX) && !wants_residual) {
    return;
  }
  // Running statistics do not depend on x: without the sums, dx = gamma * rstd * g.
  const bool train = saved.mode == Mode::train;
  const Tensor none = train ? Tensor() : zeros({saved.channels}, DType::f32, device);
  const Tensor dx = gradients.wants(kX) ? gradients.output(kX) : empty_like(saved.x);
  const Tensor dresidual = wants_residual ? gradients.output(kResidual) : Tensor();
  run(device,
      BatchNormBackwardApply{dtype, saved.rows, saved.channels, saved.x.data(), dy.data(), mask, saved.gamma.data<float>(),
                             saved.mean.data<float>(), saved.rstd.data<float>(), (train ? dbeta : none).data<float>(),
                             (train ? dgamma : none).data<float>(), dx.data(), wants_residual ? dresidual.data() : nullptr});
}

Tensor forward(const char* op, const Tensor& x, const Tensor& residual, const BatchNorm& p, Activation activation, Mode mode) {
  const ArgumentCheck check(op);
  check.floating("x", x);
  if (x.shape().rank() < 2) {
    fail("{}: x is {}, wanted at least 2 dimensions with the channels last", op, describe(x));
  }
  const int64_t channels = x.dim(-1);
  const int64_t rows = x.size() / channels;
  const Device device = x.device();
  check.exactly("gamma", p.gamma, {channels}, DType::f32, device);
  check.exactly("beta", p.beta, {channels}, DType::f32, device);
  if (residual.defined()) {
    check.exactly("residual", residual, x.shape(), x.dtype(), device);
  }

  Tensor mean;
  const bool given = mode == Mode::train && p.batch_rstd.defined();
  const Tensor rstd = given ? p.batch_rstd.detached() : empty({channels}, DType::f32, device);
  if (given) {
    mean = p.batch_mean.detached();
    check.exactly("batch_mean", mean, {channels}, DType::f32, device);
    check.exactly("batch_rstd", rstd, {channels}, DType::f32, device);
  } else if (mode == Mode::train) {
    mean = p.batch_mean.defined() ? p.batch_mean.detached() : empty({channels}, DType::f32, device);
    const Tensor variance = p.batch_var.defined() ? p.batch_var : empty({channels}, DType::f32, device);
    check.exactly("batch_mean", mean, {channels}, DType::f32, device);
    check.exactly("batch_var", variance, {channels}, DType::f32, device);
    run(device, BatchNormStatistics{x.dtype(), rows, channels, x.data(), p.epsilon, mean.data<float>(), variance.data<float>(),
                                    rstd.data<float>()});
  } else {
    check.exactly("running_mean", p.running_mean, {channels}, DType::f32, device);
    check.exactly("running_var", p.running_var, {channels}, DType::f32, device);
    mean = p.running_mean.detached();
    run(device, BatchNormRstd{channels, p.epsilon, p.running_var.data<float>(), rstd.data<float>()});
  }

  const bool keep = grad_needed({x, p.gamma, p.beta, residual});
  const bool masked = keep && activation == Activation::relu;
  const Tensor mask = masked ? empty({(x.size() + 7) / 8}, DType::u8, device) : Tensor();
  const Tensor y = empty_like(x);
  run(device, BatchNormApply{x.dtype(), rows, channels, x.data(), residual.defined() ? residual.data() : nullptr,
                             p.gamma.data<float>(), p.beta.data<float>(), mean.data<float>(), rstd.data<float>(), activation,
                             y.data(), masked ? mask.data<uint8_t>() : nullptr});
  if (!keep) {
    return y;
  }
  std::vector<Tensor> inputs{x, p.gamma, p.beta};
  if (residual.defined()) {
    inputs.push_back(residual);
  }
  return record(y, std::move(inputs), op,
                [saved = Saved{x.detached(), mask, p.gamma.detached(), mean, rstd, rows, channels, mode},
                 has_residual = residual.defined()](const Tensor& dy, Gradients& gradients) {
                  backward_rule(saved, has_residual, dy, gradients);
                });
}

}  // namespace

Tensor batch_norm(const Tensor& x, const BatchNorm& p, Mode mode) {
  return forward("batch_norm", x, {}, p, Activation::none, mode);
}

Tensor batch_norm_relu(const Tensor& x, const BatchNorm& p, Mode mode) {
  return forward("batch_norm_relu", x, {}, p, Activation::relu, mode);
}

Tensor batch_norm_add_relu(const Tensor& x, const Tensor& residual, const BatchNorm& p, Mode mode) {
  ArgumentCheck("batch_norm_add_relu").floating("residual", residual);
  return forward("batch_norm_add_relu", x, residual, p, Activation::relu, mode);
}

}  // namespace residua
